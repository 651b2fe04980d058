package mock

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// object is a managed object: its value, whose it is and what is known about it. The store's mutex guards it.
type object struct {
	kmip.Object
	id      string
	owner   Identity
	number  uint64 // objects in the order in which they were made
	fetched uint64 // when it was last fetched with Get, in the store's own time
	listed  []byte // what the inventory file says of it, nil where that is not known
	attributes
}

// store holds the objects.
type store struct {
	decimalIDs bool
	namesakes  bool

	mu        sync.Mutex
	objects   map[string]*object
	ordered   []*object            // the same, the oldest first
	named     map[string][]*object // the same, by the values of their Names
	destroyed map[string]*object   // what is still known of those, nil to forget them
	made      uint64
	serial    uint64 // of decimal identifiers
	fetches   uint64
	changes   uint64 // how often anything was made, changed or destroyed
}

// newObject completes what a client gave with what the server says. The object's state is what its dates say.
func (t *turn) newObject(value kmip.Object, given attributes) *object {
	now := ttlv.TimeValue(t.now)
	o := &object{Object: value, owner: t.client, attributes: given}
	o.put(ttlv.TagObjectType, ttlv.EnumValue(value.Type))
	o.put(ttlv.TagInitialDate, now)
	o.put(ttlv.TagLastChangeDate, now)
	o.put(ttlv.TagDigest, digest(&o.Object, t.version))
	if cryptographic&kind(value.Type) != 0 {
		o.put(ttlv.TagState, ttlv.EnumValue(kmip.PreActive))
		o.putNew(ttlv.TagFresh, boolValue(true)) // until it is served (section 3.34)
	}
	if value.Type != kmip.OpaqueObject && value.Type != kmip.CertificateObject {
		if !hasValue(&o.Object) { // else it may be left out (KMIP 1.4 section 3.41), which PyKMIP's client cannot read
			o.put(ttlv.TagKeyValuePresent, boolValue(false))
		}
		o.put(ttlv.TagKeyFormatType, ttlv.EnumValue(value.KeyBlock.Format))
	}
	o.refresh(t.now)
	return o
}

// digest is the SHA-256 of an object's value in the form in which it was stored (section 3.17).
func digest(o *kmip.Object, v kmip.Version) ttlv.Value {
	value := o.Value.Data
	if o.Value.Type == ttlv.TypeStructure {
		header := uint64(ttlv.TagKeyMaterial)<<40 | uint64(ttlv.TypeStructure)<<32 | uint64(len(value))
		value = append(binary.BigEndian.AppendUint64(nil, header), value...)
	}
	sum := sha256.Sum256(value)
	const sha256Algorithm = 6
	return ttlv.StructValue(uint16(v), func(c *ttlv.Coder) {
		algorithm, value := uint32(sha256Algorithm), sum[:]
		ttlv.Enum(c, ttlv.TagHashingAlgorithm, &algorithm)
		c.Bytes(ttlv.TagDigestValue, &value)
		if v >= kmip.V1_1 && o.KeyBlock.Format != 0 {
			ttlv.Enum(c, ttlv.TagKeyFormatType, &o.KeyBlock.Format)
		}
	})
}

func (o *object) state() kmip.State { return kmip.State(o.enum(ttlv.TagState)) }

func (o *object) setState(s kmip.State) {
	o.put(ttlv.TagState, ttlv.EnumValue(s))
	o.listed = nil
}

// refresh moves the object to the state that its dates have brought about by now (section 3.22), and notes that.
func (s *store) refresh(o *object, now time.Time) {
	before := o.state()
	o.refresh(now)
	if o.state() != before {
		s.changes++
	}
}

func (o *object) refresh(now time.Time) {
	if o.state() == kmip.PreActive && o.reached(ttlv.TagActivationDate, now) {
		o.setState(kmip.Active)
	}
	if o.state() == kmip.Active && o.reached(ttlv.TagDeactivationDate, now) {
		o.setState(kmip.Deactivated)
	}
}

func (o *object) reached(tag ttlv.Tag, now time.Time) bool {
	date, ok := o.time(tag)
	return ok && !now.Before(date)
}

// changed notes that the object is another one now.
func (s *store) changed(o *object, now time.Time) {
	s.changes++
	o.put(ttlv.TagLastChangeDate, ttlv.TimeValue(now))
	o.refresh(now)
}

// add takes new objects in, all or none, after giving each its identifier and tying them together with link.
func (s *store) add(link func(), objects ...*object) error {
	for _, o := range objects {
		if err := o.owner.mayClaim(nil, o.attributes); err != nil {
			return err
		}
		s.identify(o)
	}
	link()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range objects {
		if err := s.checkNames(o, objects[:i]); err != nil {
			return err
		}
	}
	for _, o := range objects {
		s.insert(o)
	}
	return nil
}

func (s *store) insert(o *object) {
	s.made++
	s.changes++
	o.number = s.made
	s.objects[o.id] = o
	s.ordered = append(s.ordered, o)
	s.index(o)
}

func (s *store) remove(o *object) {
	s.changes++
	delete(s.objects, o.id)
	if at, ok := slices.BinarySearchFunc(s.ordered, o, older); ok {
		s.ordered = slices.Delete(s.ordered, at, at+1)
	}
	s.unindex(o)
}

func older(a, b *object) int { return cmp.Compare(a.number, b.number) }

// rewrite gives an object other attributes.
func (s *store) rewrite(o *object, next attributes) {
	s.unindex(o)
	o.attributes, o.listed = next, nil
	s.index(o)
}

// index enters an object under its Names.
func (s *store) index(o *object) {
	for name := range o.names() {
		s.named[name] = append(s.named[name], o)
	}
}

func (s *store) unindex(o *object) {
	for name := range o.names() {
		s.named[name] = slices.DeleteFunc(s.named[name], func(other *object) bool { return other == o })
		if len(s.named[name]) == 0 {
			delete(s.named, name)
		}
	}
}

// names are the values of the Names.
func (l attributes) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range l {
			if l[i].Tag == ttlv.TagName && !yield(string(l[i].Value.Data)) {
				return
			}
		}
	}
}

// identify gives an object its identifier: a random UUID (RFC 9562 section 5.4), or the next number.
func (s *store) identify(o *object) {
	if s.decimalIDs {
		s.mu.Lock()
		s.serial++
		o.id = strconv.FormatUint(s.serial, 10)
		s.mu.Unlock()
	} else {
		o.id = newUUID()
	}
	o.put(ttlv.TagUniqueIdentifier, ttlv.TextValue(o.id))
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// checkNames makes sure that no other object has one of the object's Names (section 3.2).
func (s *store) checkNames(o *object, beside []*object) error {
	for i := range o.attributes {
		if o.attributes[i].Tag != ttlv.TagName {
			continue
		}
		taken := slices.ContainsFunc(beside, func(b *object) bool { return b.equal(&o.attributes[i]) >= 0 })
		if taken || s.hasName(&o.owner, &o.attributes[i]) {
			return refusal(kmip.NonUniqueNameAttribute, "another object has the name")
		}
	}
	return nil
}

// hasName reports whether an object that the client may know of has the name.
func (s *store) hasName(client *Identity, name *kmip.Attribute) bool {
	return !s.namesakes && slices.ContainsFunc(s.named[string(name.Value.Data)], func(o *object) bool { return !client.knowsNot(&o.owner) })
}

// target is the object that a request is about: the one that it names, or the ID Placeholder. Before 2.0 a batch that does not
// ask for its order has none (section 6.12), and so no item of it can lean on one before it.
func (t *turn) target(id string) string {
	if id == "" && (t.ordered || t.version >= kmip.V2_0) {
		return t.placeholder
	}
	return id
}

// with calls use with an object of the client's, in its state of now.
func (s *store) with(t *turn, id string, use func(o *object) error) error {
	id = t.target(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.visit(id, s.objects[id], use)
}

// about is with for those who only ask about the object, which may be destroyed.
func (s *store) about(t *turn, id string, use func(o *object) error) error {
	id = t.target(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[id]
	if o == nil {
		o = s.destroyed[id]
	}
	return t.visit(id, o, use)
}

func (t *turn) visit(id string, o *object, use func(o *object) error) error {
	switch {
	case id == "":
		return refusal(kmip.ItemNotFound, "no Unique Identifier, and no ID Placeholder")
	case o == nil || t.client.knowsNot(&o.owner):
		return refusal(kmip.ItemNotFound, "no object %q", id)
	case o.owner.Owner != t.client.Owner:
		return refusal(kmip.PermissionDenied, "could not locate object %q", id)
	}
	t.store.refresh(o, t.now)
	return use(o)
}

// find lists the client's objects that have the attributes, the newest first.
func (s *store) find(t *turn, wanted kmip.Attributes) []*object {
	var list []*object
	for _, o := range s.candidates(wanted) {
		if o.owner.Owner != t.client.Owner {
			continue
		}
		s.refresh(o, t.now)
		if o.matches(wanted) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *object) int { return older(b, a) }) // a Name may have come to an object late
	return list
}

// candidates are all objects that can have the attributes: those of the first Name asked for, or else every one.
func (s *store) candidates(wanted kmip.Attributes) []*object {
	for name := range attributes(wanted).names() {
		return s.named[name]
	}
	return s.ordered
}

// destroy forgets an object's value, and all else but what its attributes say (section 4.21).
func (s *store) destroy(o *object, now time.Time) {
	s.remove(o)
	clearObject(&o.Object)
	if s.destroyed == nil {
		return
	}
	switch o.state() {
	case 0:
	case kmip.Compromised:
		o.setState(kmip.DestroyedCompromised)
	default:
		o.setState(kmip.Destroyed)
	}
	o.put(ttlv.TagDestroyDate, ttlv.TimeValue(now))
	o.put(ttlv.TagLastChangeDate, ttlv.TimeValue(now))
	s.destroyed[o.id] = o
}

// clear destroys everything.
func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects {
		clearObject(&o.Object)
	}
	clear(s.objects)
	clear(s.named)
	s.ordered = nil
	clear(s.destroyed)
}

func hasValue(o *kmip.Object) bool { return o.Value.Type != 0 }

// clearObject overwrites an object's value and lets go of it.
func clearObject(o *kmip.Object) {
	clear(o.Value.Data)
	o.Value.Data = nil
}

// copyObject is a copy that shares no key material.
func copyObject(o *kmip.Object) kmip.Object {
	c := *o
	c.Value.Data = slices.Clone(o.Value.Data)
	return c
}
