package mock_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/kmip"
	"kmip-keymgr/mock"
	"kmip-keymgr/ttlv"
)

// TestLocateFollowsNames gives, changes, takes away and frees Names in any order: at every moment Locate finds by a Name the object
// that has it and no other, a Name that is taken is refused to others, and the inventory file says what the server knows.
func TestLocateFollowsNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objects.json")
	server := start(t, mock.Config{Inventory: file})
	m := &namesModel{t: t, c: connect(t, server.Client(), kmip.V2_1)}
	rapid.Check(t, func(r *rapid.T) {
		m.holder = map[string]string{}
		r.Repeat(map[string]func(*rapid.T){
			"create": m.create, "add": m.add, "modify": m.modify, "delete": m.remove, "destroy": m.destroy,
			"": func(*rapid.T) { m.check(server, file) },
		})
		m.clear()
	})
}

// namesModel is who has which Name.
type namesModel struct {
	t      *testing.T
	c      *kmip.Client
	ids    []string
	holder map[string]string // identifier by Name
}

var anyName = rapid.SampledFrom([]string{"a", "b", "c", "d"})

// try makes a request that must succeed where the name is free.
func (m *namesModel) try(name string, request func() error) bool {
	err := request()
	if m.holder[name] != "" {
		require.Error(m.t, err, name)
		return false
	}
	require.NoError(m.t, err)
	return true
}

func (m *namesModel) create(r *rapid.T) {
	name, id := anyName.Draw(r, "name"), ""
	if m.try(name, func() error {
		made, err := kmip.Do(m.t.Context(), m.c, createAES(kmip.NameAttribute(name)))
		if err == nil {
			id = made.UniqueIdentifier
		}
		return err
	}) {
		m.ids, m.holder[name] = append(m.ids, id), id
	}
}

// object is one of those there are.
func (m *namesModel) object(r *rapid.T) string {
	if len(m.ids) == 0 {
		r.Skip("no object")
	}
	return rapid.SampledFrom(m.ids).Draw(r, "object")
}

func (m *namesModel) add(r *rapid.T) {
	id, name := m.object(r), anyName.Draw(r, "name")
	if m.try(name, func() error {
		_, err := kmip.Do(m.t.Context(), m.c, &kmip.AddAttribute{UniqueIdentifier: id, Attribute: kmip.NameAttribute(name)})
		return err
	}) {
		m.holder[name] = id
	}
}

// held is a Name that an object has, and the object.
func (m *namesModel) held(r *rapid.T) (name, id string) {
	name = anyName.Draw(r, "old name")
	if m.holder[name] == "" {
		r.Skip("nobody has the name")
	}
	return name, m.holder[name]
}

func (m *namesModel) modify(r *rapid.T) {
	old, id := m.held(r)
	name := anyName.Filter(func(n string) bool { return n != old }).Draw(r, "name")
	current := kmip.NameAttribute(old)
	if m.try(name, func() error {
		_, err := kmip.Do(m.t.Context(), m.c, &kmip.ModifyAttribute{UniqueIdentifier: id, Current: &current, Attribute: kmip.NameAttribute(name)})
		return err
	}) {
		delete(m.holder, old)
		m.holder[name] = id
	}
}

func (m *namesModel) remove(r *rapid.T) {
	name, id := m.held(r)
	current := kmip.NameAttribute(name)
	do(m.t, m.c, &kmip.DeleteAttribute{UniqueIdentifier: id, Current: &current})
	delete(m.holder, name)
}

func (m *namesModel) destroy(r *rapid.T) { m.forget(m.object(r)) }

func (m *namesModel) forget(id string) {
	do(m.t, m.c, &kmip.Destroy{UniqueIdentifier: id})
	for name, holder := range m.holder {
		if holder == id {
			delete(m.holder, name)
		}
	}
	for i := range m.ids {
		if m.ids[i] == id {
			m.ids = append(m.ids[:i:i], m.ids[i+1:]...)
			return
		}
	}
}

func (m *namesModel) clear() {
	for len(m.ids) > 0 {
		m.forget(m.ids[0])
	}
}

func (m *namesModel) check(server *mock.Server, file string) {
	for _, name := range []string{"a", "b", "c", "d"} {
		var want []string
		if id := m.holder[name]; id != "" {
			want = []string{id}
		}
		found := do(m.t, m.c, &kmip.Locate{Attributes: kmip.Attributes{kmip.NameAttribute(name)}})
		require.Equal(m.t, want, found.UniqueIdentifiers, name)
	}
	text, err := os.ReadFile(file)
	require.NoError(m.t, err)
	var list []mock.Entry
	require.NoError(m.t, json.Unmarshal(text, &list))
	require.Equal(m.t, server.Inventory(), list)
	require.Len(m.t, list, len(m.ids))
	for i := range list {
		require.Equal(m.t, m.ids[i], list[i].ID, "the oldest first")
		for _, name := range list[i].Names {
			require.Equal(m.t, m.holder[name], list[i].ID)
		}
	}
}

// TestADateThatComesIsInTheInventory: an object's state is what its dates say, and whoever looks at it finds the file so.
func TestADateThatComesIsInTheInventory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objects.json")
	c := one(t, mock.Config{Inventory: file}, kmip.V1_4)
	soon := ttlv.TimeValue(time.Now().Add(time.Second))
	id := do(t, c, createAES(kmip.Attribute{AttributeName: kmip.AttributeName{Tag: ttlv.TagActivationDate}, Value: soon})).UniqueIdentifier
	require.Eventually(t, func() bool { return stateOf(t, c, id) == kmip.Active }, 10*time.Second, 20*time.Millisecond)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), `"state": "Active"`)
}
