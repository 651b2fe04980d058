package keymgr_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/protocol"
	"kmip-keymgr/ttlv"
)

func TestConsumers(t *testing.T) {
	ctx := context.Background()
	volume := protocol.Consumer{Service: "cinder", ResourceType: "volume", ResourceID: "v1"}
	server := protocol.Consumer{Service: "nova", ResourceType: "instance", ResourceID: "i \"1\""}
	for name, s := range settings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, s)
			id := b.create(alice, 256)
			add := func(c protocol.Consumer) {
				_, err := b.AddConsumer(ctx, alice, &protocol.ChangeConsumer{KeyID: id, Consumer: c})
				require.NoError(t, err)
			}
			remove := func(c protocol.Consumer) {
				_, err := b.RemoveConsumer(ctx, alice, &protocol.ChangeConsumer{KeyID: id, Consumer: c})
				require.NoError(t, err)
			}
			require.Empty(t, b.get(alice, id).Consumers)
			add(volume)
			add(server)
			add(volume)
			require.ElementsMatch(t, []protocol.Consumer{volume, server}, b.get(alice, id).Consumers)
			require.Equal(t, "volume key", b.get(alice, id).Name)

			for _, who := range []*protocol.Context{alice, service} {
				_, err := b.DeleteKey(ctx, who, &protocol.DeleteKey{KeyID: id})
				require.ErrorContains(t, err, "2 consumers")
			}
			_, err := b.AddConsumer(ctx, bob, &protocol.ChangeConsumer{KeyID: id, Consumer: volume})
			require.Equal(t, protocol.NotFound, kind(err))
			require.Empty(t, b.get(alice, b.copy(alice, id)).Consumers, "nobody uses a copy yet")

			remove(volume)
			_, err = b.RemoveConsumer(ctx, alice, &protocol.ChangeConsumer{KeyID: id, Consumer: volume})
			require.Equal(t, protocol.NotFound, kind(err))
			require.Empty(t, err.(*protocol.Error).Reason, "which no server gave")
			require.Equal(t, []protocol.Consumer{server}, b.get(alice, id).Consumers)
			remove(server)
			b.delete(alice, id)

			id = b.create(alice, 256)
			add(volume)
			b.force(alice, id)
		})
	}
}

// TestConsumersCut breaks the conversation about a consumer.
func TestConsumersCut(t *testing.T) {
	ctx := context.Background()
	b := start(t, setting{keymgr: isolating()})
	change := &protocol.ChangeConsumer{KeyID: b.create(alice, 256), Consumer: protocol.Consumer{Service: "cinder", ResourceType: "volume", ResourceID: "v1"}}
	for _, action := range []mock.Action{mock.DropRequest, mock.DropResponse, mock.Garbage, mock.Truncate} {
		b.server.Inject(mock.Fault{Operation: kmip.OpAddAttribute, Action: action}, mock.Fault{Operation: kmip.OpDeleteAttribute, Action: action})
		_, err := b.AddConsumer(ctx, alice, change)
		require.NoError(t, err)
		require.Len(t, b.get(alice, change.KeyID).Consumers, 1)
		_, err = b.RemoveConsumer(ctx, alice, change)
		require.NoError(t, err)
		require.Empty(t, b.get(alice, change.KeyID).Consumers)
	}
}

// TestConsumerAddedInBetween is about a server that refuses to record a consumer since another caller has just done so.
func TestConsumerAddedInBetween(t *testing.T) {
	s := newShelf()
	added := true
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		if _, adds := m.Items[0].Payload.(*kmip.AddAttribute); !adds {
			return s.serve(m)
		}
		if added {
			s.serve(m)
		}
		return []kmip.ResponseItem{{Status: kmip.StatusFailed, Reason: kmip.InvalidField}}
	}, lasting(time.Minute))
	made, err := m.CreateKey(t.Context(), alice, createAES("name"))
	require.NoError(t, err)
	change := &protocol.ChangeConsumer{KeyID: made.KeyID, Consumer: protocol.Consumer{Service: "cinder", ResourceType: "volume", ResourceID: "v1"}}
	_, err = m.AddConsumer(t.Context(), alice, change)
	require.NoError(t, err)

	added, change.Consumer.ResourceID = false, "v2"
	_, err = m.AddConsumer(t.Context(), alice, change)
	require.Equal(t, protocol.InvalidRequest, kind(err))
}

func TestConsumersUnsupported(t *testing.T) {
	b := start(t, setting{mock: mock.Config{Without: []kmip.Operation{kmip.OpAddAttribute}}, keymgr: isolating()})
	_, err := b.AddConsumer(context.Background(), alice, &protocol.ChangeConsumer{KeyID: b.create(alice, 256), Consumer: protocol.Consumer{Service: "a", ResourceType: "b", ResourceID: "c"}})
	require.Equal(t, protocol.Unsupported, kind(err))
	require.Equal(t, "OperationNotSupported", err.(*protocol.Error).Reason)

	b = start(t, setting{keymgr: isolating()})
	b.server.Inject(mock.Fault{Operation: kmip.OpAddAttribute, Action: mock.Fail, Reason: kmip.InvalidMessage})
	_, err = b.AddConsumer(t.Context(), alice, consumer(b.create(alice, 256)))
	require.Equal(t, protocol.Unsupported, kind(err))
	require.ErrorContains(t, err, "the server cannot add or delete attributes", "an operator is told what for")
}

// TestWhatIsNoConsumer has a key on which others note something of their own. It is nobody who uses the key, which could
// not be deleted for it.
func TestWhatIsNoConsumer(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	id := b.create(alice, 256)
	for namespace, data := range map[string]string{
		"backup": `{"service":"s","resource_type":"t","resource_id":"i"}`, "openstack-consumer-1": "since Monday", "openstack-consumer-2": `["s"]`,
	} {
		b.note(id, namespace, data)
	}
	require.Empty(t, b.get(alice, id).Consumers)
	b.delete(alice, id)
}

// TestConsumersApart has each consumer be in a namespace of its own, or else a server that keeps one instance a namespace
// would forget one of two, and the key be deleted that it still uses.
func TestConsumersApart(t *testing.T) {
	b := start(t, setting{keymgr: isolating()})
	made, err := b.CreateKey(t.Context(), service, createAES("")) // without a record, so that the first index is a consumer's
	require.NoError(t, err)
	var changes []*protocol.ChangeConsumer
	for i := range 3 {
		change := consumer(made.KeyID)
		change.Consumer.ResourceID = string(rune('a' + i))
		changes = append(changes, change)
		_, err := b.AddConsumer(t.Context(), service, change)
		require.NoError(t, err)
	}
	namespaces := map[string]bool{}
	for _, info := range b.noted(made.KeyID) {
		namespaces[info.Namespace] = true
	}
	require.Len(t, namespaces, len(changes))
	for i, change := range changes {
		_, err := b.RemoveConsumer(t.Context(), service, change)
		require.NoError(t, err)
		require.Len(t, b.get(service, made.KeyID).Consumers, len(changes)-i-1)
	}
}

// TestConsumerMovesUp has the answer to a removal get lost, and another caller's removal of another consumer come in
// between: the index is the next one's then. Who is removed by an old index still uses the key, which could be deleted.
func TestConsumerMovesUp(t *testing.T) {
	s := newShelf()
	var removed []int32
	m := lie(t, func(m *kmip.RequestMessage) []kmip.ResponseItem {
		p, ok := m.Items[0].Payload.(*kmip.DeleteAttribute)
		if !ok {
			return s.serve(m)
		}
		removed = append(removed, p.Index)
		list, index := s.objects[p.UniqueIdentifier], p.Index
		if len(removed) == 1 {
			index-- // the other's
		}
		at := slices.IndexFunc(list, func(a kmip.Attribute) bool {
			return a.Tag == ttlv.TagApplicationSpecificInformation && a.Index == index
		})
		gone := list[at]
		list = slices.Delete(list, at, at+1)
		for i := at; i < len(list); i++ {
			list[i].Index--
		}
		s.objects[p.UniqueIdentifier] = list
		if len(removed) == 1 {
			return nil
		}
		return []kmip.ResponseItem{{Payload: &kmip.DeleteAttributeResponse{UniqueIdentifier: p.UniqueIdentifier, Attribute: gone}}}
	}, lasting(time.Minute))
	made, err := m.CreateKey(t.Context(), alice, createAES("name"))
	require.NoError(t, err)
	changes := []*protocol.ChangeConsumer{consumer(made.KeyID), consumer(made.KeyID), consumer(made.KeyID)}
	for i, change := range changes {
		change.Consumer.ResourceID = string(rune('a' + i))
		_, err = m.AddConsumer(t.Context(), alice, change)
		require.NoError(t, err)
	}
	_, err = m.RemoveConsumer(t.Context(), alice, changes[1])
	require.NoError(t, err)
	require.Equal(t, []int32{5, 4}, removed)
	o, err := m.GetKey(t.Context(), alice, &protocol.GetKey{KeyID: made.KeyID})
	require.NoError(t, err)
	require.Equal(t, []protocol.Consumer{changes[2].Consumer}, o.Consumers)
}
