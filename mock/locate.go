package mock

import (
	"cmp"
	"slices"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// The values of Storage Status Mask and Object Group Member (sections 9.1.3.3.2 and 9.1.3.2.33).
const (
	onLine       = 1
	groupFresh   = 1
	groupDefault = 2
)

// maximumDates is how often a Locate may name one date: once for the date itself, twice for a range.
const maximumDates = 2

// locate finds the client's objects that have all the attributes given, the newest first (section 4.9). A single hit
// becomes the ID Placeholder; otherwise there is none.
func (t *turn) locate(p *kmip.Locate) (kmip.Payload, error) {
	if err := t.checkLocate(p); err != nil {
		return nil, err
	}
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	hits := t.store.find(t, p.Attributes)
	hits = ofGroup(hits, p.ObjectGroupMember)
	if p.StorageStatusMask != 0 && p.StorageStatusMask&onLine == 0 {
		hits = nil
	}
	r := new(kmip.LocateResponse)
	if t.version >= sinceOffset {
		r.LocatedItems = int32(len(hits))
	}
	hits = hits[min(int(p.OffsetItems), len(hits)):]
	if p.MaximumItems > 0 {
		hits = hits[:min(int(p.MaximumItems), len(hits))]
	}
	for _, o := range hits {
		r.UniqueIdentifiers = append(r.UniqueIdentifiers, o.id)
	}
	t.placeholder = ""
	if len(hits) == 1 {
		t.placeholder = hits[0].id
	}
	return r, nil
}

func (t *turn) checkLocate(p *kmip.Locate) error {
	switch {
	case p.MaximumItems < 0 || p.OffsetItems < 0 || p.StorageStatusMask&^storages(t.version) != 0 || p.ObjectGroupMember > groupDefault:
		return refusal(kmip.InvalidField, "a value that is out of range")
	case p.OffsetItems != 0 && t.version < sinceOffset:
		return invalid("Offset Items came with KMIP %v", sinceOffset)
	case p.ObjectGroupMember != 0 && t.version < sinceDevice:
		return invalid("Object Group Member came with KMIP %v", sinceDevice)
	}
	for i := range p.Attributes {
		a := &p.Attributes[i]
		r, ok := ruleOf(a.AttributeName, t.version)
		if !ok {
			return refusal(kmip.UnsupportedAttribute, "no attribute %q in KMIP %v here", a.AttributeName, t.version)
		}
		if err := r.checkValue(a); err != nil {
			return err
		}
		if a.Value.Type == ttlv.TypeDateTime && countOf(p.Attributes, a.AttributeName) > maximumDates {
			return refusal(kmip.InvalidField, "more than two values for %v", a.AttributeName)
		}
	}
	return nil
}

// storages are the bits of a Storage Status Mask: on-line, archived, and from 2.0 on destroyed.
func storages(v kmip.Version) int32 {
	if v >= kmip.V2_0 {
		return 7
	}
	return 3
}

func countOf(l kmip.Attributes, n kmip.AttributeName) (count int) {
	for i := range l {
		if l[i].AttributeName == n {
			count++
		}
	}
	return count
}

// matches reports whether the object has all the attributes. A date that is there twice is a range; a usage mask asks for
// at least these uses.
func (o *object) matches(wanted kmip.Attributes) bool {
	for i := range wanted {
		w := &wanted[i]
		switch {
		case w.Value.Type == ttlv.TypeDateTime && countOf(wanted, w.AttributeName) == maximumDates:
			if !o.between(wanted, w.AttributeName) {
				return false
			}
		case w.Tag == ttlv.TagCryptographicUsageMask:
			mask, _ := w.Value.Int()
			if o.int(w.Tag)&mask != mask || !o.has(w.Tag) {
				return false
			}
		case o.equal(w) < 0:
			return false
		}
	}
	return true
}

// between reports whether a date of the object lies between the two dates of that name.
func (o *object) between(wanted kmip.Attributes, n kmip.AttributeName) bool {
	date, ok := o.time(n.Tag)
	before, after := false, false
	for i := range wanted {
		if bound, isTime := wanted[i].Value.Time(); isTime && wanted[i].AttributeName == n {
			before = before || !date.Before(bound)
			after = after || !date.After(bound)
		}
	}
	return ok && before && after
}

// ofGroup picks by Object Group Member: the fresh objects, or the one whose turn it is. Groups are served in turn: who
// has waited longest for a Get comes first.
func ofGroup(hits []*object, member uint32) []*object {
	if member == 0 {
		return hits
	}
	slices.SortFunc(hits, func(a, b *object) int {
		return cmp.Or(cmp.Compare(a.fetched, b.fetched), cmp.Compare(a.number, b.number))
	})
	if member == groupFresh {
		return slices.DeleteFunc(hits, func(o *object) bool { return !o.isTrue(ttlv.TagFresh) })
	}
	return hits[:min(1, len(hits))]
}
