package tests

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFaults breaks conversations at every point. Whatever is told, it holds: a key id that was given out is that of the
// one key there is, and an error behind which a key exists says that it may have been executed.
func TestFaults(t *testing.T) {
	for _, operation := range []string{"Create", "Activate", "Register", "Locate", "*"} {
		for _, action := range []string{
			"refuse", "drop-request", "drop-response", "truncate=4", "truncate=100", "delay=50ms", "garbage",
			"reason=GeneralFailure", "reason=PermissionDenied",
		} {
			for _, count := range []string{"1", "100"} {
				fault := strings.Join([]string{operation, action, count}, ":")
				t.Run(fault, func(t *testing.T) { faultStory(t, fault) })
			}
		}
	}
}

func faultStory(t *testing.T, fault string) {
	s := startMock(t, "--fault", fault)
	h := helper{configs: []string{s.config}}.with(t, "retry_interval = 0.01", "timeout = 5")
	create, store := args{"algorithm": "AES", "length": 256}, args{"object": symmetric(32, 256)}
	op, a := "create_key", create
	if strings.HasPrefix(fault, "Register") {
		op, a = "store_key", store
	}
	r := h.ask(t, op, a)
	if r.Error == nil {
		require.Equal(t, 1, s.count(t), "one key for one request")
		return
	}
	require.LessOrEqual(t, s.count(t), 1, "%s", r.Error.Message)
	require.True(t, s.count(t) == 0 || r.Error.MaybeExecuted, "there is a key: %s", r.Error.Message)
}

// TestDeleteIsFinal loses the answers to a delete: it succeeds anyway, and leaves nothing.
func TestDeleteIsFinal(t *testing.T) {
	for _, action := range []string{"refuse", "drop-request", "drop-response", "truncate=4", "garbage"} {
		t.Run(action, func(t *testing.T) {
			s := startMock(t, "--fault", "Destroy:"+action)
			h := helper{configs: []string{s.config}}.with(t, "retry_interval = 0.01")
			id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
			if r := h.ask(t, "delete_key", args{"key_id": id}); r.Error != nil {
				require.True(t, r.Error.MaybeExecuted || s.count(t) == 1, "%s", r.Error.Message)
				requireGone(t, h, id)
			}
			require.Zero(t, s.count(t))
		})
	}
}

// requireGone deletes again what may be gone already, as OpenStack's services would.
func requireGone(t *testing.T, h helper, id string) {
	t.Helper()
	if r := h.ask(t, "delete_key", args{"key_id": id}); r.Error != nil {
		require.Equal(t, "not_found", r.Error.Kind)
	}
}

// TestRetryInterval loses one request: the next attempt comes when retry_interval says, or a server that starts up would see
// all attempts at once.
func TestRetryInterval(t *testing.T) {
	for _, row := range []struct {
		name, kind string
		options    []string
	}{
		{"at once", "", []string{"max_retries = 1", "retry_interval = 0"}},
		{"after the deadline", "unavailable", []string{"max_retries = 1", "retry_interval = 60", "timeout = 1"}},
		{"never", "unavailable", []string{"max_retries = 0", "retry_interval = 0"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := startMock(t, "--fault", "*:drop-request")
			r := helper{configs: []string{s.config}}.with(t, row.options...).ask(t, "list_keys", nil)
			if row.kind == "" {
				require.Nil(t, r.Error)
				return
			}
			requireKind(t, r, row.kind)
		})
	}
}
