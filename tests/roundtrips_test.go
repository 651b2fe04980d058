package tests

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRoundTrips counts messages on the wire: batches and the ID Placeholder make one of what would be several.
func TestRoundTrips(t *testing.T) {
	s, p := startMock(t), newPKI(t)
	var messages atomic.Int32
	address := answering(altering(t, s, func(reply []byte) []byte { messages.Add(1); return reply }))(t, p)
	service := p.helper(t, address)
	project := service.inProject("red")
	var id, copied string
	for _, row := range []struct {
		name  string
		trips int32
		do    func()
	}{
		{"create", 1, func() { id = keyID(t, service.ask(t, "create_key", args{"algorithm": "AES", "length": 256})) }},
		{"get", 1, func() { get(t, service.ask, id) }},
		{"copy", 2, func() { copied = keyID(t, service.ask(t, "copy_key", args{"key_id": id})) }},
		{"delete, whoever uses the key", 1, func() {
			require.Nil(t, service.ask(t, "delete_key", args{"key_id": id, "force": true}).Error)
		}},
		{"delete, if nobody uses the key", 2, func() { remove(t, service.ask, copied) }},
		{"store", 1, func() { id = keyID(t, project.ask(t, "store_key", args{"object": symmetric(32, 256)})) }},
		{"get within a project", 1, func() { get(t, project.ask, id) }},
		{"delete within a project, whose owner is read first", 2, func() { remove(t, project.ask, id) }},
	} {
		before := messages.Load()
		row.do()
		require.Equal(t, row.trips, messages.Load()-before, row.name)
	}
	require.Zero(t, s.count(t))
}
