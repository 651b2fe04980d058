package keymgr_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
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

// TestListPages has servers that name one object at a time, and that name all of them at any time.
func TestListPages(t *testing.T) {
	ids := []string{asked, another}
	testListPages(t, func(offset int32) *kmip.LocateResponse {
		return &kmip.LocateResponse{LocatedItems: 2, UniqueIdentifiers: ids[offset:][:1]}
	})
	testListPages(t, func(int32) *kmip.LocateResponse {
		return &kmip.LocateResponse{LocatedItems: 3, UniqueIdentifiers: ids}
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
