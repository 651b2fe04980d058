package mock

import (
	"slices"
	"time"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// getAttributes fetches the attributes named, or all. One that the object does not have is left out (section 4.12).
func (t *turn) getAttributes(p *kmip.GetAttributes) (kmip.Payload, error) {
	for i, n := range p.Names {
		if slices.Contains(p.Names[:i], n) {
			return nil, invalid("the attribute %v is asked for twice", n)
		}
	}
	r := new(kmip.GetAttributesResponse)
	err := t.store.about(t, p.UniqueIdentifier, func(o *object) error {
		r.UniqueIdentifier = o.id
		for i := range o.attributes {
			a := &o.attributes[i]
			if t.visible(a) && (len(p.Names) == 0 || slices.Contains(p.Names, a.AttributeName)) {
				r.Attributes = append(r.Attributes, *a)
			}
		}
		return nil
	})
	return r, err
}

// visible reports whether the version of the message has the attribute.
func (t *turn) visible(a *kmip.Attribute) bool {
	_, ok := ruleOf(a.AttributeName, t.version)
	return ok
}

// getAttributeList names the attributes that an object has (section 4.13).
func (t *turn) getAttributeList(p *kmip.GetAttributeList) (kmip.Payload, error) {
	r := new(kmip.GetAttributeListResponse)
	err := t.store.about(t, p.UniqueIdentifier, func(o *object) error {
		r.UniqueIdentifier = o.id
		for i := range o.attributes {
			if a := &o.attributes[i]; t.visible(a) && !slices.Contains(r.Names, a.AttributeName) {
				r.Names = append(r.Names, a.AttributeName)
			}
		}
		return nil
	})
	return r, err
}

// addAttribute adds an attribute, or an instance of one (section 4.14).
func (t *turn) addAttribute(p *kmip.AddAttribute) (kmip.Payload, error) {
	a := &p.Attribute
	if a.Index != 0 {
		return nil, refusal(kmip.InvalidField, "the server gives the Attribute Index")
	}
	r := new(kmip.AddAttributeResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		rule, err := writable(a.AttributeName, o.Type, t.version, set)
		if err != nil {
			return err
		}
		if rule.rights&many == 0 && o.first(a.AttributeName) >= 0 {
			return refusal(kmip.AttributeSingleValued, "the object has the attribute %v", a.AttributeName)
		}
		if err := t.replace(o, rule, -1, a); err != nil {
			return err
		}
		r.UniqueIdentifier, r.Attribute = o.id, o.attributes[len(o.attributes)-1]
		return nil
	})
	return r, err
}

// replace puts an attribute in the place of the one at, or adds it where at is negative, unless it would not fit.
func (t *turn) replace(o *object, r rule, at int, a *kmip.Attribute) error {
	if err := r.checkValue(a); err != nil {
		return err
	}
	if same := o.equal(a); same >= 0 && same != at {
		return refusal(kmip.InvalidField, "the object has %v with this value", a.AttributeName)
	}
	if a.Tag == ttlv.TagName && t.store.hasName(&t.client, a) && o.equal(a) < 0 {
		return refusal(kmip.NonUniqueNameAttribute, "another object has the name")
	}
	next := slices.Clone(o.attributes)
	if at < 0 {
		next.add(*a)
	} else {
		next[at].Value = ttlv.Value{Type: a.Value.Type, Data: slices.Clone(a.Value.Data)}
	}
	if err := next.checkDates(); err != nil {
		return err
	}
	return t.alter(o, next)
}

// alter gives an object other attributes, unless they make it another client's.
func (t *turn) alter(o *object, next attributes) error {
	if err := t.client.mayClaim(o.attributes, next); err != nil {
		return err
	}
	t.store.rewrite(o, next)
	t.store.changed(o, t.now)
	return nil
}

// modifyAttribute changes the value of an instance (section 4.15; KMIP 2.1 section 6.1.34).
func (t *turn) modifyAttribute(p *kmip.ModifyAttribute) (kmip.Payload, error) {
	r := new(kmip.ModifyAttributeResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		rule, err := writable(p.Attribute.AttributeName, o.Type, t.version, modify)
		if err != nil {
			return err
		}
		at, err := o.instance(p.Attribute.AttributeName, p.Attribute.Index, p.Current)
		if err != nil {
			return err
		}
		if p.Current == nil && t.version >= kmip.V2_0 && rule.rights&many != 0 {
			return refusal(kmip.MultiValuedAttribute, "%v has several instances, and the Current Attribute does not say which", p.Attribute.AttributeName)
		}
		if !o.stillOpen(p.Attribute.Tag, t.now) {
			return refusal(kmip.PermissionDenied, "%v is fixed in the state %v", p.Attribute.AttributeName, o.state())
		}
		if err := t.replace(o, rule, at, &p.Attribute); err != nil {
			return err
		}
		r.UniqueIdentifier, r.Attribute = o.id, o.attributes[at]
		return nil
	})
	return r, err
}

// stillOpen reports whether a date may still be changed (sections 3.24 to 3.27).
func (o *object) stillOpen(tag ttlv.Tag, now time.Time) bool {
	switch tag {
	case ttlv.TagActivationDate:
		return o.state() == kmip.PreActive
	case ttlv.TagProcessStartDate, ttlv.TagProtectStopDate, ttlv.TagDeactivationDate:
		return !o.reached(tag, now) && (o.state() == kmip.PreActive || o.state() == kmip.Active)
	}
	return true
}

// instance is where the instance meant is: in 2.x the one that equals current, where that is given, else the one with
// the index.
func (l attributes) instance(n kmip.AttributeName, index int32, current *kmip.Attribute) (int, error) {
	switch at, ok := l.find(n, index); {
	case current != nil && current.AttributeName != n:
		return 0, refusal(kmip.InvalidField, "the current and the new attribute are not the same")
	case l.first(n) < 0:
		return 0, refusal(kmip.AttributeNotFound, "the object has no %v", n)
	case current != nil:
		if at = l.equal(current); at < 0 {
			return 0, refusal(kmip.AttributeInstanceNotFound, "no %v with that value", n)
		}
		return at, nil
	case !ok:
		return 0, refusal(kmip.AttributeInstanceNotFound, "no %v with index %d", n, index)
	default:
		return at, nil
	}
}

// deleteAttribute removes an instance, or in 2.x all of a name (section 4.16; KMIP 2.1 section 6.1.13).
func (t *turn) deleteAttribute(p *kmip.DeleteAttribute) (kmip.Payload, error) {
	name, all := p.Name, t.version >= kmip.V2_0 && p.Current == nil
	if p.Current != nil {
		name = p.Current.AttributeName
	}
	r := new(kmip.DeleteAttributeResponse)
	err := t.store.with(t, p.UniqueIdentifier, func(o *object) error {
		if _, err := writable(name, o.Type, t.version, remove); err != nil {
			return err
		}
		next := slices.Clone(o.attributes)
		if all {
			if o.first(name) < 0 {
				return refusal(kmip.AttributeNotFound, "the object has no %v", name)
			}
			next = slices.DeleteFunc(next, func(a kmip.Attribute) bool { return a.AttributeName == name })
		} else {
			at, err := o.instance(name, p.Index, p.Current)
			if err != nil {
				return err
			}
			r.Attribute = next[at]
			next = slices.Delete(next, at, at+1)
		}
		r.UniqueIdentifier = o.id
		return t.alter(o, next)
	})
	return r, err
}
