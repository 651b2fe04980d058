package keymgr_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

// TestListBesideUnreadable has an object of nobody's project that the server does not give out. It is in the way of the
// service, which would see it, and of nobody else.
func TestListBesideUnreadable(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	b.create(alice, 256)
	client := kmip.NewClient(b.server.Client())
	defer client.Close()
	sensitive := kmip.Attribute{
		AttributeName: kmip.AttributeName{Tag: ttlv.TagSensitive},
		Value:         ttlv.Value{Type: ttlv.TypeBoolean, Data: []byte{0, 0, 0, 0, 0, 0, 0, 1}},
	}
	made, err := kmip.Do(context.Background(), client, &kmip.Create{ObjectType: kmip.SymmetricKeyObject, Attributes: kmip.Attributes{
		kmip.EnumAttribute(ttlv.TagCryptographicAlgorithm, kmip.AES), kmip.IntAttribute(ttlv.TagCryptographicLength, int32(256)),
		kmip.IntAttribute(ttlv.TagCryptographicUsageMask, kmip.UsageEncrypt), sensitive,
	}})
	require.NoError(t, err)
	list, err := b.ListKeys(context.Background(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Len(t, list.Objects, 1)
	_, err = b.ListKeys(context.Background(), service, &protocol.ListKeys{})
	require.Equal(t, protocol.Forbidden, kind(err))

	_, err = b.GetKey(context.Background(), service, &protocol.GetKey{KeyID: made.UniqueIdentifier})
	require.Equal(t, protocol.Forbidden, kind(err))
	_, err = b.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: made.UniqueIdentifier})
	require.Equal(t, protocol.NotFound, kind(err), "and why is not hers to know")
}

// TestListBesideUnknown has an object of a type that nobody here has a use for. The others are listed.
func TestListBesideUnknown(t *testing.T) {
	m := lie(t, func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
		if _, locates := m.Items[0].Payload.(*kmip.Locate); locates {
			return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{UniqueIdentifiers: []string{asked, another}}}}
		}
		for i := range m.Items {
			one := kmip.RequestMessage{Items: m.Items[i : i+1]}
			switch p := m.Items[i].Payload.(type) {
			case *kmip.GetAttributes:
				items = append(items, shows(&one, p.UniqueIdentifier, p.UniqueIdentifier, "project-a")...)
			case *kmip.Get:
				items = append(items, shows(&one, p.UniqueIdentifier, p.UniqueIdentifier, "project-a")...)
				if got := items[i].Payload.(*kmip.GetResponse); p.UniqueIdentifier == another {
					got.Object.Type = 9 // PGP Key
				}
			}
		}
		return items
	})
	list, err := m.ListKeys(context.Background(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Len(t, list.Objects, 1)
	require.Equal(t, asked, list.Objects[0].ID)
	for _, metadataOnly := range []bool{true, false} {
		o, err := m.GetKey(context.Background(), alice, &protocol.GetKey{KeyID: another, MetadataOnly: metadataOnly})
		require.Equal(t, metadataOnly, err == nil, "%v", err)
		require.Equal(t, !metadataOnly, o == nil)
	}
}

// TestListPages has servers that name one object at a time, that name all of them at any time, and that count one which
// they never name: a list would never end.
func TestListPages(t *testing.T) {
	ids := []string{asked, another}
	testListPages(t, func(offset int32) *kmip.LocateResponse {
		return &kmip.LocateResponse{LocatedItems: 2, UniqueIdentifiers: ids[offset:][:1]}
	})
	testListPages(t, func(int32) *kmip.LocateResponse {
		return &kmip.LocateResponse{LocatedItems: 3, UniqueIdentifiers: ids}
	})
	testListPages(t, func(offset int32) *kmip.LocateResponse {
		return &kmip.LocateResponse{LocatedItems: 3, UniqueIdentifiers: ids[min(offset, 2):]}
	})
}

// testListPages lists two objects that are named like this.
func testListPages(t *testing.T, page func(offset int32) *kmip.LocateResponse) {
	ids := []string{asked, another}
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		switch p := m.Items[0].Payload.(type) {
		case *kmip.Locate:
			return []kmip.ResponseItem{{Payload: page(p.OffsetItems)}}
		case *kmip.GetAttributes:
			return append(shows(&kmip.RequestMessage{Items: m.Items[:1]}, ids[0], ids[0], "project-a"),
				shows(&kmip.RequestMessage{Items: m.Items[1:]}, ids[1], ids[1], "project-a")...)
		}
		return nil
	})
	list, err := m.ListKeys(context.Background(), alice, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(t, err)
	require.Len(t, list.Objects, len(ids))
}

// TestListOfTooMany has servers that cannot name all of their objects in one answer: they are asked for by the page, where the
// version and the server have pages, or else the list is refused rather than cut short.
func TestListOfTooMany(t *testing.T) {
	const all = 10003
	ids := make([]string, all)
	for i := range ids {
		ids[i] = protocol.NewUUID()
	}
	for name, test := range map[string]struct {
		version    kmip.Version
		most       int  // that the server names, whatever it is asked for
		counts     bool // it says how many there are
		fromStart  bool // it ignores the offset
		asked      int
		unsupplied bool
	}{
		"in two pages":      {kmip.V1_4, all, false, false, 4, false},
		"counted":           {kmip.V1_4, all, true, false, 4, false},
		"in its own pages":  {kmip.V1_4, 4000, false, false, 5, false},
		"its own, counted":  {kmip.V1_4, 4000, true, false, 5, false},
		"the first always":  {kmip.V1_4, all, false, true, 3, true},
		"the same, counted": {kmip.V1_4, 4000, true, true, 3, true},
		"without pages":     {kmip.V1_2, all, false, false, 1, true},
	} {
		asked := 0
		pki, err := mock.NewPKI()
		require.NoError(t, err)
		m := lieIn(t, test.version, pki, lasting(time.Minute), listen(t, pki, liar(func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
			if p, ok := m.Items[0].Payload.(*kmip.Locate); ok {
				asked++
				if p.MaximumItems == 0 {
					require.EqualValues(t, kmip.MaxResponse, m.Header.MaxResponseSize)
					return refuses(m, kmip.ResponseTooLarge)
				}
				from := min(int(p.OffsetItems), all)
				if test.fromStart {
					from = 0
				}
				r := &kmip.LocateResponse{UniqueIdentifiers: ids[from:min(from+min(int(p.MaximumItems), test.most), all)]}
				if test.counts {
					r.LocatedItems = all
				}
				return []kmip.ResponseItem{{Payload: r}}
			}
			for _, i := range m.Items {
				if id := i.Payload.(*kmip.GetAttributes).UniqueIdentifier; id == ids[0] || id == ids[all-1] {
					items = append(items, shows(&kmip.RequestMessage{Items: []kmip.RequestItem{i}}, id, id, "project-a")...)
				} else {
					items = append(items, fails(kmip.ItemNotFound))
				}
			}
			return items
		}).converse))
		list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{MetadataOnly: true})
		require.Equal(t, test.asked, asked, name)
		if test.unsupplied {
			require.Equal(t, protocol.Unsupported, kind(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Len(t, list.Objects, 2, name)
	}
}

// TestListWhileOthersGo has objects be destroyed between two answers: those behind them move up, and none is passed over. Where that
// happens again and again there is no list, rather than part of one.
func TestListWhileOthersGo(t *testing.T) {
	for gone, listed := range map[int]int{1: 29, 2: 28, 20: 0} {
		var there []string
		for range 30 {
			there = append(there, protocol.NewUUID())
		}
		m := lie(t, func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
			if p, ok := m.Items[0].Payload.(*kmip.Locate); ok {
				from := min(int(p.OffsetItems), len(there))
				r := &kmip.LocateResponse{LocatedItems: int32(len(there)), UniqueIdentifiers: slices.Clone(there[from:min(from+10, len(there))])}
				if from == 0 && gone > 0 {
					there, gone = there[1:], gone-1
				}
				return []kmip.ResponseItem{{Payload: r}}
			}
			for _, i := range m.Items {
				id := i.Payload.(*kmip.GetAttributes).UniqueIdentifier
				items = append(items, shows(&kmip.RequestMessage{Items: []kmip.RequestItem{i}}, id, id, "project-a")...)
			}
			return items
		})
		list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{MetadataOnly: true})
		if listed == 0 {
			require.Equal(t, protocol.Unavailable, kind(err))
			require.True(t, err.(*protocol.Error).Retryable)
			continue
		}
		require.NoError(t, err)
		require.Len(t, list.Objects, listed)
	}
}

// TestListOfNone: some servers say that nothing was found where others name none.
func TestListOfNone(t *testing.T) {
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem { return refuses(m, kmip.ItemNotFound) })
	list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Empty(t, list.Objects)
}

// TestListLarge lists objects that are more together than one answer may hold.
func TestListLarge(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	for i := range 6 {
		b.store(alice, &protocol.Object{Type: protocol.OpaqueData, Value: bytes.Repeat([]byte{byte(i)}, 900<<10)})
	}
	list, err := b.ListKeys(context.Background(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Len(t, list.Objects, 6)
	for _, o := range list.Objects {
		require.Len(t, o.Value, 900<<10)
	}
}

// TestListMany lists ten thousand objects, in few round trips.
func TestListMany(t *testing.T) {
	const many = 10000
	var trips atomic.Int32
	all := &kmip.LocateResponse{}
	for i := range many {
		all.UniqueIdentifiers = append(all.UniqueIdentifiers, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
	}
	m := lie(t, func(request *kmip.RequestMessage) (items []kmip.ResponseItem) {
		trips.Add(1)
		for _, item := range request.Items {
			switch asked := item.Payload.(type) {
			case *kmip.Locate:
				items = append(items, kmip.ResponseItem{Payload: all})
			case *kmip.GetAttributes:
				one := &kmip.RequestMessage{Items: []kmip.RequestItem{{Payload: asked}}}
				project := "project-" + asked.UniqueIdentifier[35:]
				items = append(items, shows(one, asked.UniqueIdentifier, asked.UniqueIdentifier, project)...)
			}
		}
		return items
	})
	l, err := m.ListKeys(context.Background(), service, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(t, err)
	require.Len(t, l.Objects, many)
	require.Equal(t, all.UniqueIdentifiers[many-1], l.Objects[many-1].ID)
	require.LessOrEqual(t, trips.Load(), int32(1+many/50))

	l, err = m.ListKeys(context.Background(), &protocol.Context{ProjectID: "project-7"}, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(t, err)
	require.Len(t, l.Objects, many/10)

	l, err = m.ListKeys(context.Background(), service, &protocol.ListKeys{ObjectType: protocol.Passphrase, MetadataOnly: true})
	require.NoError(t, err)
	require.Empty(t, l.Objects, "what is located is held against the type asked for")
}

// library answers a Locate with these objects, and shows each as alice's under the Names that it has here. Objects without
// any are as shows has them.
func library(ids []string, names map[string][]string) liar {
	return func(m *kmip.RequestMessage) (items []kmip.ResponseItem) {
		for i := range m.Items {
			id := ""
			switch p := m.Items[i].Payload.(type) {
			case *kmip.GetAttributes:
				id = p.UniqueIdentifier
			case *kmip.Get:
				id = p.UniqueIdentifier
			case *kmip.Locate:
				items = append(items, kmip.ResponseItem{Payload: &kmip.LocateResponse{UniqueIdentifiers: ids}})
				continue
			}
			item := shows(&kmip.RequestMessage{Items: m.Items[i : i+1]}, id, id, "project-a")[0]
			if shown, ok := item.Payload.(*kmip.GetAttributesResponse); ok && names != nil {
				shown.Attributes = append(shown.Attributes[:1:1], shown.Attributes[2])
				for _, name := range names[id] {
					shown.Attributes = append(shown.Attributes, kmip.NameAttribute(name))
				}
			}
			items = append(items, item)
		}
		return items
	}
}

// TestListWithoutKeyIDs has objects that others made, whose identifiers are no UUIDs. Without a Name that is one, nobody
// could ask for what is listed; with one behind another Name, a key would be missing.
func TestListWithoutKeyIDs(t *testing.T) {
	m := lie(t, library([]string{"1", "2", "3", "4", asked}, map[string][]string{
		"2": {"backup"}, "3": {another}, "4": {"backup", "33333333-3333-4333-8333-333333333333"}, asked: {protocol.NewUUID()},
	}))
	list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{MetadataOnly: true})
	require.NoError(t, err)
	var ids []string
	for _, o := range list.Objects {
		ids = append(ids, o.ID)
	}
	require.Equal(t, []string{another, "33333333-3333-4333-8333-333333333333", asked}, ids)
}

// refusesToShow is a server that refuses to show what objects are.
func refusesToShow(reason kmip.ResultReason) liar {
	return func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if _, reads := m.Items[0].Payload.(*kmip.GetAttributes); reads {
			return refuses(m, reason)
		}
		return nil
	}
}

// TestListFails has a server refuse some part of what a list needs. A list that leaves keys out without a word would have
// them taken for gone.
func TestListFails(t *testing.T) {
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
	}
	honest := library(ids, nil)
	for name, test := range map[string]struct {
		want protocol.Kind
		lies liar // nil from it for an honest answer
	}{
		"Locate": {protocol.Forbidden, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			return refuses(m, kmip.PermissionDenied)
		}},
		"second page": {protocol.Forbidden, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			located, ok := m.Items[0].Payload.(*kmip.Locate)
			switch {
			case ok && located.OffsetItems > 0:
				return refuses(m, kmip.PermissionDenied)
			case ok:
				return []kmip.ResponseItem{{Payload: &kmip.LocateResponse{LocatedItems: 4, UniqueIdentifiers: ids[:2]}}}
			}
			return nil
		}},
		"message": {protocol.Forbidden, refusesToShow(kmip.PermissionDenied)},
		"first half of what is too large": {protocol.Forbidden, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			p, reads := m.Items[0].Payload.(*kmip.GetAttributes)
			switch {
			case reads && len(m.Items) == 2*len(ids):
				return refuses(m, kmip.ResponseTooLarge)
			case reads && p.UniqueIdentifier == ids[0]:
				return refuses(m, kmip.PermissionDenied)
			}
			return nil
		}},
		"one that is too large alone": {protocol.Unsupported, refusesToShow(kmip.ResponseTooLarge)},
		"a key that is cut short": {protocol.Internal, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			items := honest(m)
			for i := range items {
				if got, ok := items[i].Payload.(*kmip.GetResponse); ok && got.UniqueIdentifier == ids[2] {
					got.Object.KeyBlock.Length = 256
				}
			}
			return items
		}},
	} {
		m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
			if items := test.lies(m); items != nil {
				return items
			}
			return honest(m)
		})
		list, err := m.ListKeys(t.Context(), alice, &protocol.ListKeys{})
		require.Equal(t, test.want, kind(err), "%s: %v", name, err)
		require.Nil(t, list, name)
	}
	list, err := lie(t, honest).ListKeys(t.Context(), alice, &protocol.ListKeys{})
	require.NoError(t, err)
	require.Len(t, list.Objects, len(ids))
}

// TestListBesideGone has an object go away behind the Locate, and one of which only the attributes are left. They are in
// nobody's way, and nobody is shown a key that cannot be had.
func TestListBesideGone(t *testing.T) {
	gone, destroyed := protocol.NewUUID(), protocol.NewUUID()
	honest := library([]string{gone, destroyed, asked}, nil)
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		items := honest(m)
		for i := range items {
			p, ok := items[i].Payload.(*kmip.GetAttributesResponse)
			switch {
			case ok && p.UniqueIdentifier == gone:
				items[i] = fails(kmip.ItemNotFound)
			case ok && p.UniqueIdentifier == destroyed:
				p.Attributes = append(p.Attributes, kmip.EnumAttribute(ttlv.TagState, kmip.Destroyed))
			}
		}
		return items
	})
	for _, who := range []*protocol.Context{alice, service} {
		list, err := m.ListKeys(t.Context(), who, &protocol.ListKeys{MetadataOnly: true})
		require.NoError(t, err)
		require.Len(t, list.Objects, 1)
		require.Equal(t, asked, list.Objects[0].ID)
	}
}

// TestListRefusedAsAWhole has a server refuse to read several objects at once, before it looks at any. Where their answer
// is too large, half of them may not be; or else the caller is told why there is no list.
func TestListRefusedAsAWhole(t *testing.T) {
	for reason, want := range map[kmip.ResultReason]protocol.Kind{kmip.ResponseTooLarge: "", kmip.PermissionDenied: protocol.Forbidden} {
		d := new(door)
		b := start(t, setting{mock: mock.Config{Authenticate: d.authenticate}, keymgr: isolating()})
		b.create(alice, 256)
		b.create(alice, 256)
		messages := 0
		d.refuses = func(*kmip.RequestContext) error {
			if messages++; messages == 2 { // behind the Locate
				return reason
			}
			return nil
		}
		list, err := b.ListKeys(t.Context(), alice, &protocol.ListKeys{})
		require.Equal(t, want, kind(err), "%v", err)
		require.Equal(t, want == "", list != nil && len(list.Objects) == 2)
		require.GreaterOrEqual(t, messages, 2)
	}
}
