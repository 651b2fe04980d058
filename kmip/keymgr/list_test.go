package keymgr_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/protocol"
)

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
