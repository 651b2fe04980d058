package keymgr_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/kmip/keymgr"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// shelf is a server that keeps keys in its own way. It answers one connection at a time.
type shelf struct {
	keep func(kmip.Attributes) kmip.Attributes // what of a new key's attributes it keeps, and of a public key's, nil for all
	show func(*kmip.Attribute)                 // how it shows them, nil for as they are
	key  string

	ids     []string
	objects map[string]kmip.Attributes
}

func newShelf() *shelf {
	return &shelf{objects: map[string]kmip.Attributes{}, key: "0123456789abcdef0123456789abcdef"}
}

func (s *shelf) serve(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
	placeholder := ""
	for i := range m.Items {
		p := s.answer(m.Items[i].Payload, &placeholder)
		if p == nil {
			items = append(items, kmip.ResponseItem{Status: kmip.StatusFailed, Reason: kmip.ItemNotFound})
		} else {
			items = append(items, kmip.ResponseItem{Payload: p})
		}
		if p == nil && m.Header.ErrorContinuation != kmip.BatchContinue {
			break
		}
	}
	return items
}

func (s *shelf) answer(request kmip.Payload, placeholder *string) kmip.Payload {
	switch q := request.(type) {
	case *kmip.Create:
		*placeholder = s.put(kmip.SymmetricKeyObject, q.Attributes, s.keep)
		return &kmip.CreateResponse{ObjectType: kmip.SymmetricKeyObject, UniqueIdentifier: *placeholder}
	case *kmip.CreateKeyPair:
		return &kmip.CreateKeyPairResponse{
			Private: s.put(kmip.PrivateKeyObject, slices.Concat(q.Common, q.Private), nil),
			Public:  s.put(kmip.PublicKeyObject, slices.Concat(q.Common, q.Public), s.keep),
		}
	case *kmip.Locate:
		return &kmip.LocateResponse{}
	case *kmip.GetAttributes:
		id := *placeholder
		if q.UniqueIdentifier != "" {
			id = q.UniqueIdentifier
		}
		if _, there := s.objects[id]; there {
			return &kmip.GetAttributesResponse{UniqueIdentifier: id, Attributes: s.shown(id)}
		}
	case *kmip.Get:
		return &kmip.GetResponse{UniqueIdentifier: *placeholder + q.UniqueIdentifier, Object: kmip.Object{
			Type: kmip.SymmetricKeyObject, Value: ttlv.BytesValue([]byte(s.key)),
			KeyBlock: kmip.KeyBlock{Format: kmip.Raw, Algorithm: kmip.AES, Length: int32(len(s.key) * 8)},
		}}
	case *kmip.Destroy:
		if _, there := s.objects[q.UniqueIdentifier]; there {
			delete(s.objects, q.UniqueIdentifier)
			return &kmip.DestroyResponse{UniqueIdentifier: q.UniqueIdentifier}
		}
	case *kmip.Activate:
		return &kmip.ActivateResponse{UniqueIdentifier: *placeholder + q.UniqueIdentifier}
	case *kmip.Query:
		return &kmip.QueryResponse{Operations: kmip.Operations(), VendorIdentification: "shelf"}
	case *kmip.AddAttribute:
		a := q.Attribute
		a.Index = int32(len(kmip.Attributes(s.objects[q.UniqueIdentifier]).Applications()))
		s.objects[q.UniqueIdentifier] = append(s.objects[q.UniqueIdentifier], a)
		return &kmip.AddAttributeResponse{UniqueIdentifier: q.UniqueIdentifier, Attribute: a}
	}
	return nil
}

func (s *shelf) put(t kmip.ObjectType, attributes kmip.Attributes, keep func(kmip.Attributes) kmip.Attributes) string {
	attributes = append(kmip.Attributes{kmip.EnumAttribute(ttlv.TagObjectType, t)}, attributes...)
	if keep != nil {
		attributes = keep(attributes)
	}
	id := protocol.NewUUID()
	s.ids, s.objects[id] = append(s.ids, id), attributes
	return id
}

func (s *shelf) shown(id string) kmip.Attributes {
	list := slices.Clone(s.objects[id])
	for i := range list {
		if s.show != nil {
			s.show(&list[i])
		}
	}
	return list
}

func createAES(name string) *protocol.CreateKey {
	return &protocol.CreateKey{Algorithm: "AES", Length: 256, Name: name}
}

// makers have a key, or a pair, made.
func makers(t *testing.T) map[string]func(*keymgr.Manager) error {
	return map[string]func(*keymgr.Manager) error{
		"create": func(m *keymgr.Manager) error {
			_, err := m.CreateKey(t.Context(), alice, createAES("name"))
			return err
		},
		"pair": func(m *keymgr.Manager) error {
			_, err := m.CreateKeyPair(t.Context(), alice, createAES("name"))
			return err
		},
	}
}

// keepLast keeps so many of the last instances of the attribute that the record is in.
func keepLast(n int) func(kmip.Attributes) kmip.Attributes {
	return func(list kmip.Attributes) kmip.Attributes {
		left := len(list.Applications()) - n
		return slices.DeleteFunc(slices.Clone(list), func(a kmip.Attribute) bool {
			if a.Tag == ttlv.TagApplicationSpecificInformation {
				left--
			}
			return a.Tag == ttlv.TagApplicationSpecificInformation && left >= 0
		})
	}
}

// TestRecordNotKept is about servers that keep the last instance of an attribute, or none, and do not say so. A key that
// does not say whose it is would never be found again by its project.
func TestRecordNotKept(t *testing.T) {
	for _, kept := range []int{0, 1} {
		s := newShelf()
		s.keep = keepLast(kept)
		m := lie(t, s.serve, lasting(time.Minute))
		made, err := m.CreateKey(t.Context(), alice, createAES("name"))
		if kept == 0 {
			require.Equal(t, protocol.Unsupported, kind(err))
			require.ErrorContains(t, err, "project_isolation")
			require.Empty(t, s.objects)
			require.Len(t, s.ids, 2, "the second in the plainest form")
			continue
		}
		require.NoError(t, err)
		require.Len(t, s.objects, 1)
		o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
		require.NoError(t, err)
		require.Equal(t, "name", o.Name)
		_, err = m.DeleteKey(t.Context(), alice, &protocol.DeleteKey{KeyID: made.KeyID})
		require.NoError(t, err)
		require.Empty(t, s.objects)
	}
}

// TestRecordNotNeeded is about a server that keeps no record, where nobody asks whose an object is. It is as good as any
// other.
func TestRecordNotNeeded(t *testing.T) {
	s := newShelf()
	s.keep = keepLast(0)
	m := lie(t, s.serve, keymgr.Config{Timeout: time.Minute})
	_, err := m.CreateKey(t.Context(), alice, createAES("name"))
	require.NoError(t, err)
	_, err = m.CreateKeyPair(t.Context(), alice, createAES("name"))
	require.NoError(t, err)
	require.Len(t, s.ids, 3, "each made once")
	require.Len(t, s.objects, 3)
}

// TestNamesStayTaken is about a server that keeps no record of several instances, and the Names of destroyed objects for
// ever. What is made again must have another Name, or nothing could be made there.
func TestNamesStayTaken(t *testing.T) {
	for name, makes := range makers(t) {
		s := newShelf()
		s.keep = keepLast(1)
		taken := map[string]bool{}
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			for _, name := range namesIn(m.Items[0].Payload) {
				if taken[name] {
					return refuses(m, kmip.NonUniqueNameAttribute)
				}
				taken[name] = true
			}
			return s.serve(m)
		}, lasting(time.Minute))
		require.NoError(t, makes(m), name)
		require.Len(t, s.objects, len(s.ids)/2, "%s: the first is destroyed", name)
		require.Len(t, taken, len(s.ids), name)
	}
}

// namesIn are the Names that a request has something made with.
func namesIn(p kmip.Payload) []string {
	switch q := p.(type) {
	case *kmip.Create:
		return q.Attributes.Names()
	case *kmip.CreateKeyPair:
		return slices.Concat(q.Private, q.Public).Names()
	}
	return nil
}

// TestHalfAPairNotKept is about a server that keeps the record of one half of a pair alone. No half stays behind.
func TestHalfAPairNotKept(t *testing.T) {
	for _, kept := range []int{0, 1} {
		for half, of := range map[string]func(*kmip.CreateKeyPairResponse) string{
			"private": func(r *kmip.CreateKeyPairResponse) string { return r.Private },
			"public":  func(r *kmip.CreateKeyPairResponse) string { return r.Public },
		} {
			s := newShelf()
			_, err := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
				items := s.serve(m)
				if made, ok := items[0].Payload.(*kmip.CreateKeyPairResponse); ok {
					s.objects[of(made)] = keepLast(kept)(s.objects[of(made)])
				}
				return items
			}, lasting(time.Minute)).CreateKeyPair(t.Context(), alice, createAES("name"))
			require.Len(t, s.ids, 4, "%s: the second pair in the plainest form", half)
			if kept == 0 {
				require.Equal(t, protocol.Unsupported, kind(err), half)
				require.Empty(t, s.objects, half)
			} else {
				require.NoError(t, err, half)
				require.Len(t, s.objects, 2, half)
			}
		}
	}
}

// TestIndicesNotShown is about a server that leaves indices out: by the index 0 it would delete whose the key is.
func TestIndicesNotShown(t *testing.T) {
	for _, who := range []*protocol.Context{alice, service} { // who records four facts, and one
		s := newShelf()
		s.show = func(a *kmip.Attribute) { a.Index = 0 }
		m := lie(t, s.serve, lasting(time.Minute))
		made, err := m.CreateKey(t.Context(), who, createAES("name"))
		require.NoError(t, err)
		for range 2 {
			_, err = m.AddConsumer(t.Context(), who, consumer(made.KeyID))
			require.NoError(t, err)
		}
		_, err = m.RemoveConsumer(t.Context(), who, consumer(made.KeyID))
		require.Equal(t, protocol.Unsupported, kind(err))
		o, err := m.GetKey(t.Context(), who, &protocol.GetKey{KeyID: made.KeyID})
		require.NoError(t, err)
		require.Len(t, o.Consumers, 1, "what is recorded is not recorded again")
	}
}

// TestHalfAKey is about a server that gives half of a key, and says of it that it is a whole one of half the length.
func TestHalfAKey(t *testing.T) {
	s := newShelf()
	m := lie(t, s.serve, lasting(time.Minute))
	made, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.NoError(t, err)
	o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
	require.NoError(t, err)
	require.Equal(t, 256, o.BitLength)
	s.key = s.key[:16]
	_, err = m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
	require.ErrorContains(t, err, "a key of 128 bits that should have 256")
}

// TestUnprovenIdentifier is about a server that does not show the Names of what it made, and does not activate it. What a
// Locate finds is destroyed. Where none tells that the object is the new one, it may be another's key, and stays.
func TestUnprovenIdentifier(t *testing.T) {
	for name, test := range map[string]struct {
		located   kmip.ResponseItem
		destroyed bool
	}{
		"refused": {fails(kmip.PermissionDenied), false},
		"nothing": {kmip.ResponseItem{Payload: &kmip.LocateResponse{}}, false},
		"found":   {kmip.ResponseItem{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{asked, another}}}, true},
	} {
		destroyed := false
		m := lie(t, each(func(p kmip.Payload) kmip.ResponseItem {
			switch p.(type) {
			case *kmip.Create:
				return kmip.ResponseItem{Payload: &kmip.CreateResponse{ObjectType: kmip.SymmetricKeyObject, UniqueIdentifier: another}}
			case *kmip.Locate:
				return test.located
			case *kmip.Destroy:
				destroyed = true
				return kmip.ResponseItem{Payload: &kmip.DestroyResponse{UniqueIdentifier: another}}
			}
			return fails(kmip.PermissionDenied)
		}), lasting(time.Minute))
		_, err := m.CreateKey(t.Context(), alice, createAES(""))
		require.Equal(t, protocol.Forbidden, kind(err), "%s: %v", name, err)
		require.Equal(t, !test.destroyed, strings.Contains(err.Error(), "stays behind"), "%s: %v", name, err)
		require.Equal(t, test.destroyed, destroyed, name)
	}
}

// TestCompromiseDate is about servers that destroy no key before it was revoked, and want to know since when one is
// compromised that was never Active.
func TestCompromiseDate(t *testing.T) {
	made := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		shown kmip.Attributes
		since time.Time
	}{
		{kmip.Attributes{kmip.TimeAttribute(ttlv.TagInitialDate, made)}, made},
		{nil, time.Unix(0, 0)},
	} {
		shown := append(kmip.Attributes{kmip.EnumAttribute(ttlv.TagState, kmip.PreActive)}, test.shown...)
		m := lie(t, mustRevoke(shown, test.since), lasting(time.Minute))
		_, err := m.DeleteKey(t.Context(), nil, &protocol.DeleteKey{KeyID: asked})
		require.NoError(t, err)
	}
}

// mustRevoke is a server that destroys its one object, of which it shows this, once that is compromised since then.
func mustRevoke(shown kmip.Attributes, since time.Time) liar {
	refused := kmip.ResponseItem{Status: kmip.StatusFailed, Reason: kmip.PermissionDenied}
	revoked := false
	return func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
		for i := range m.Items {
			answer := refused
			switch p := m.Items[i].Payload.(type) {
			case *kmip.GetAttributes:
				answer = kmip.ResponseItem{Payload: &kmip.GetAttributesResponse{UniqueIdentifier: asked, Attributes: shown}}
			case *kmip.Revoke:
				if p.Code == kmip.KeyCompromise && p.Compromise.Equal(ttlv.TimeValue(since)) {
					revoked = true
					answer = kmip.ResponseItem{Payload: &kmip.RevokeResponse{UniqueIdentifier: asked}}
				}
			case *kmip.Destroy:
				if revoked {
					answer = kmip.ResponseItem{Payload: &kmip.DestroyResponse{UniqueIdentifier: asked}}
				}
			}
			items = append(items, answer)
		}
		return items
	}
}

// TestStrangersObject is about a server that answers a Create with another project's object, and shows that. It is none of
// what was made, and stays.
func TestStrangersObject(t *testing.T) {
	s := newShelf()
	s.objects[another] = kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagObjectType, kmip.SymmetricKeyObject), kmip.NameAttribute(another),
		kmip.ApplicationAttribute("openstack-project-id", bob.ProjectID),
	}
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := s.serve(m)
		if _, ok := m.Items[0].Payload.(*kmip.Create); ok {
			items[0].Payload.(*kmip.CreateResponse).UniqueIdentifier = another
			items[1].Payload = &kmip.GetAttributesResponse{UniqueIdentifier: another, Attributes: s.objects[another]}
			items[2].Payload = &kmip.ActivateResponse{UniqueIdentifier: another}
		}
		return items
	}, lasting(time.Minute))
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.True(t, err.(*protocol.Error).MaybeExecuted)
	require.ErrorContains(t, err, "does not have its Name")
	require.Contains(t, s.objects, another)
}

// TestStrangersObjectInAPair is about a server that answers a CreateKeyPair with another project's object for one half.
// Nobody is given that for their own, and it stays.
func TestStrangersObjectInAPair(t *testing.T) {
	for _, config := range []keymgr.Config{{Timeout: time.Minute}, lasting(time.Minute)} {
		for half, mix := range map[string]func(*kmip.CreateKeyPairResponse){
			"private": func(r *kmip.CreateKeyPairResponse) { r.Private = another },
			"public":  func(r *kmip.CreateKeyPairResponse) { r.Public = another },
		} {
			s := newShelf()
			s.objects[another] = kmip.Attributes{kmip.NameAttribute(another), kmip.ApplicationAttribute("openstack-project-id", bob.ProjectID)}
			m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
				items := s.serve(m)
				if made, ok := items[0].Payload.(*kmip.CreateKeyPairResponse); ok {
					mix(made)
				}
				return items
			}, config)
			_, err := m.CreateKeyPair(t.Context(), alice, createAES(""))
			require.True(t, problem(t, err).MaybeExecuted, half)
			require.ErrorContains(t, err, "does not have its Name", half)
			require.Contains(t, s.objects, another, half)
		}
	}
}

// TestHalfAPairNotActive is about a server that makes one half of a pair Active and not the other. A pair that cannot be
// used is not said to be there, and neither half stays behind.
func TestHalfAPairNotActive(t *testing.T) {
	for refused := range 2 {
		s := newShelf()
		m := lie(t, each(func(p kmip.Payload) kmip.ResponseItem {
			if a, ok := p.(*kmip.Activate); ok && a.UniqueIdentifier == s.ids[refused] {
				return fails(kmip.PermissionDenied)
			}
			placeholder := ""
			if answer := s.answer(p, &placeholder); answer != nil {
				return kmip.ResponseItem{Payload: answer}
			}
			return fails(kmip.ItemNotFound)
		}), lasting(time.Minute))
		_, err := m.CreateKeyPair(t.Context(), alice, createAES("name"))
		require.Equal(t, protocol.Forbidden, kind(err), "%v", err)
		require.Len(t, s.ids, 2)
		require.Empty(t, s.objects)
	}
}

// TestPairWithoutAnswer is about a server that makes a pair, or half of it, and does not say so. What is there of both
// halves is taken for the pair, each half for what it is; half of one is none; and what cannot be looked for is not made
// again.
func TestPairWithoutAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		lost  int // the half that is not there, -1 for none
		blind int // so many Locates of the private half are refused
		pairs int // that are made
	}{
		"whole": {-1, 0, 1}, "without private": {0, 0, 2}, "without public": {1, 0, 2}, "half of it unseen": {-1, 2, 1},
	} {
		f := &finding{shelf: newShelf()}
		lost, blind := false, test.blind
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := f.serve(m)
			switch p := m.Items[0].Payload.(type) {
			case *kmip.CreateKeyPair:
				if lost {
					break
				}
				if lost = true; test.lost >= 0 {
					delete(f.objects, f.ids[test.lost])
				}
				return nil
			case *kmip.Locate:
				if blind > 0 && slices.Equal(p.Attributes.Names(), f.objects[f.ids[0]].Names()) {
					blind--
					return refuses(m, kmip.PermissionDenied)
				}
			}
			return items
		}, lasting(time.Minute))
		pair, err := m.CreateKeyPair(t.Context(), alice, createAES("name"))
		require.NoError(t, err, name)
		require.Len(t, f.ids, 2*test.pairs, name)
		require.Equal(t, f.ids[2*test.pairs-2:], []string{pair.PrivateKeyID, pair.PublicKeyID}, name)
	}
}

// TestRecordNotKeptWithoutAnswer is about such servers whose first answer is lost: what is found by its Name is held to the
// same, for a key that is adopted would be as lost to its project.
func TestRecordNotKeptWithoutAnswer(t *testing.T) {
	for name, makes := range makers(t) {
		f := &finding{shelf: newShelf()}
		f.keep = keepLast(0)
		lost := false
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := f.serve(m)
			if len(f.ids) > 0 && !lost {
				lost = true
				return nil
			}
			return items
		}, lasting(time.Minute))
		err := makes(m)
		require.Equal(t, protocol.Unsupported, kind(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "project_isolation", name)
		require.NotEmpty(t, f.ids, name)
		require.Empty(t, f.objects, name)
	}
}

// TestNotActiveAndGone has a server refuse to activate a new object, which then is not there to be destroyed.
func TestNotActiveAndGone(t *testing.T) {
	s := newShelf()
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := s.serve(m)
		for i := range m.Items {
			switch m.Items[i].Payload.(type) {
			case *kmip.Activate:
				items[i] = fails(kmip.PermissionDenied)
			case *kmip.Destroy:
				return []kmip.ResponseItem{fails(kmip.ItemNotFound), fails(kmip.ItemNotFound), fails(kmip.ItemNotFound)}
			}
		}
		return items
	}, keymgr.Config{Activate: true, Timeout: time.Minute})
	_, err := m.CreateKey(t.Context(), alice, createAES(""))
	require.Equal(t, protocol.Forbidden, kind(err), "%v", err)
	require.False(t, problem(t, err).MaybeExecuted)
	require.NotContains(t, err.Error(), "stays behind")
}
