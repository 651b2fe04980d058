package tests

import (
	"crypto/tls"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/kmip"
	"kmip-keymgr/ttlv"
)

// TestOtherVerbs is about what Castellan's interface has beyond create, store, get, copy and delete.
func TestOtherVerbs(t *testing.T) {
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			session := helper{configs: []string{s.config}}.session(t)
			t.Run("key pairs", func(t *testing.T) { pairStory(t, session.ask) })
			for _, version := range []string{"1.4", "2.0"} { // which differ in what PyKMIP lets a new object record
				if !slices.Contains(s.versions, version) {
					continue
				}
				h := helper{configs: []string{s.config}}.with(t, "kmip_version = "+version).inProject("red")
				t.Run("a project's key pairs, "+version, func(t *testing.T) { projectPairStory(t, h) })
			}
			for _, version := range s.versions {
				h := helper{configs: []string{s.config}}.with(t, "kmip_version = "+version)
				t.Run("lists, "+version, func(t *testing.T) { listStory(t, h.session(t).ask) })
			}
			t.Run("metadata", func(t *testing.T) { metadataStory(t, session.ask) })
			t.Run("consumers", func(t *testing.T) { consumerStory(t, session.ask, kind.name == "mock") })
			require.Zero(t, s.count(t))
			require.Equal(t, 1, session.end(t), "a consumer, or a delete in spite of one, was refused")
		})
	}
}

func pairStory(t *testing.T, ask asker) {
	r := ask(t, "create_key_pair", args{"algorithm": "RSA", "length": 2048, "name": "a pair"})
	require.Nil(t, r.Error)
	for id, kind := range map[string]string{r.Result.PrivateKeyID: "private", r.Result.PublicKeyID: "public"} {
		require.Regexp(t, canonicalUUID, id)
		half := get(t, ask, id)
		require.Equal(t, []any{kind, "a pair", "RSA", 2048}, []any{half.Type, half.Name, half.Algorithm, half.BitLength})
		require.NotEmpty(t, half.Value)
		remove(t, ask, id)
	}
}

func projectPairStory(t *testing.T, h helper) {
	session := h.session(t)
	for _, name := range []string{"a pair", "Schlüsselpaar"} {
		r := h.ask(t, "create_key_pair", args{"algorithm": "RSA", "length": 2048, "name": name})
		require.Nil(t, r.Error)
		for _, id := range []string{r.Result.PrivateKeyID, r.Result.PublicKeyID} {
			require.Equal(t, name, get(t, session.ask, id).Name)
			requireKind(t, h.inProject("blue").ask(t, "get_key", args{"key_id": id}), "not_found")
			remove(t, session.ask, id)
		}
	}
	require.Zero(t, session.end(t))
}

func listStory(t *testing.T, ask asker) {
	stored := map[string]string{} // id: type
	for _, o := range samples(t) {
		stored[keyID(t, ask(t, "store_key", args{"object": o}))] = o.Type
	}
	listed := map[string]string{}
	for _, o := range list(t, ask, args{"metadata_only": true}) {
		listed[o.ID] = o.Type
		require.Nil(t, o.Value)
	}
	require.Equal(t, stored, listed)
	for id, kind := range stored {
		objects := list(t, ask, args{"object_type": kind})
		require.Len(t, objects, 1)
		require.Equal(t, get(t, ask, id), objects[0])
	}
	for id := range stored {
		remove(t, ask, id)
	}
	require.Empty(t, list(t, ask, args{}))
}

func list(t *testing.T, ask asker, a args) []object {
	t.Helper()
	r := ask(t, "list_keys", a)
	require.Nil(t, r.Error)
	require.NotNil(t, r.Result.Objects)
	return r.Result.Objects
}

func metadataStory(t *testing.T, ask asker) {
	id := keyID(t, ask(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "meta"}))
	want := get(t, ask, id)
	want.Value = nil
	r := ask(t, "get_key", args{"key_id": id, "metadata_only": true})
	require.Nil(t, r.Error)
	require.Equal(t, want, *r.Result.Object)
	remove(t, ask, id)
}

// consumerStory adds a consumer, which keeps the key from being deleted, where the server can change attributes; PyKMIP's
// cannot, and says so: a key manager that took consumers and forgot them would lose keys.
func consumerStory(t *testing.T, ask asker, kept bool) {
	id := keyID(t, ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	change := args{"key_id": id, "consumer": args{"service": "cinder", "resource_type": "volume", "resource_id": "v1"}}
	added := ask(t, "add_consumer", change)
	if !kept {
		requireKind(t, added, "unsupported")
		remove(t, ask, id)
		return
	}
	require.Nil(t, added.Error)
	require.Equal(t, []any{map[string]any{"service": "cinder", "resource_type": "volume", "resource_id": "v1"}}, get(t, ask, id).Consumers)
	requireKind(t, ask(t, "delete_key", args{"key_id": id}), "invalid_request")
	require.Nil(t, ask(t, "remove_consumer", change).Error)
	require.Empty(t, get(t, ask, id).Consumers)
	remove(t, ask, id)
}

// TestObjectGroup: every new object is in the group that nova.conf names, or an operator's rules for the group at the key
// manager would not hold for it.
func TestObjectGroup(t *testing.T) {
	s := startMock(t)
	h := helper{configs: []string{s.config}}
	plain := keyID(t, h.ask(t, "store_key", args{"object": symmetric(32, 256)}))
	session, c := h.with(t, "object_group = nova keys").session(t), newRawClient(t, s, tls.VersionTLS13)
	groupOf := func(id string) string {
		seen := c.exchange(t, kmip.RequestItem{Operation: kmip.OpGetAttributes, Payload: &kmip.GetAttributes{
			UniqueIdentifier: id, Names: []kmip.AttributeName{{Tag: ttlv.TagObjectGroup}},
		}})
		item := seen.whole(t).Items[0]
		require.Equal(t, kmip.StatusSuccess, item.Status, "%s", item.Message)
		group, _ := item.Payload.(*kmip.GetAttributesResponse).Attributes.Value(ttlv.TagObjectGroup)
		return string(group.Data)
	}
	for op, a := range map[string]args{
		"create_key": {"algorithm": "AES", "length": 256}, "create_key_pair": {"algorithm": "EC", "length": 256},
		"store_key": {"object": symmetric(32, 256)}, "copy_key": {"key_id": plain},
	} {
		r := session.ask(t, op, a)
		require.Nil(t, r.Error, op)
		made := []string{r.Result.KeyID}
		if op == "create_key_pair" {
			made = []string{r.Result.PrivateKeyID, r.Result.PublicKeyID}
		}
		for _, id := range made {
			require.Equal(t, "nova keys", groupOf(id), op)
		}
	}
	require.Empty(t, groupOf(plain))
	require.Zero(t, session.end(t))
}
