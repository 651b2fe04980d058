package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFaults breaks conversations at every point, once or for good. A key id that is given out is that of the one key there
// is, and an error behind which a key may exist says so, or nobody would look for what Nova does not know of.
func TestFaults(t *testing.T) {
	for _, operation := range []string{"Create", "Activate", "Register", "Locate", "*"} {
		for _, action := range []string{
			"refuse", "drop-request", "drop-response", "truncate=4", "truncate=100", "delay=50ms", "garbage",
			"reason=GeneralFailure", "reason=PermissionDenied",
		} {
			for _, count := range []string{"1", "100"} {
				fault := strings.Join([]string{operation, action, count}, ":")
				t.Run(fault, func(t *testing.T) { faultStory(t, fault, behind(operation, action, count == "100")) })
			}
		}
	}
}

// ending is what becomes of a request for a key.
type ending struct {
	kind  string // of the error, "" for none
	maybe bool   // the error says that there may be a key
	keys  int    // that there are
}

// behind is the ending of a request behind a fault that comes once, or each time.
func behind(operation, action string, always bool) ending {
	made := ending{keys: 1}
	switch {
	case strings.HasPrefix(action, "delay="), operation == "Locate" && action != "refuse": // which takes no Locate
		return made
	case operation == "Activate" && !always: // to be repeated, whatever the reason
		return made
	case action == "reason=GeneralFailure":
		return ending{kind: "internal"}
	case action == "reason=PermissionDenied":
		return ending{kind: "forbidden"}
	case !always:
		return made
	case action == "refuse":
		return ending{kind: "unavailable"}
	case action == "drop-request":
		return ending{kind: "unavailable", maybe: true}
	case operation != "*": // so that Locate finds it
		return made
	case action == "garbage":
		return ending{kind: "internal", maybe: true, keys: 1}
	}
	return ending{kind: "unavailable", maybe: true, keys: 1}
}

func faultStory(t *testing.T, fault string, want ending) {
	s := startMock(t, "--fault", fault)
	h := helper{configs: []string{s.config}}.with(t, "retry_interval = 0.01", "timeout = 20")
	create, store := args{"algorithm": "AES", "length": 256}, args{"object": symmetric(32, 256)}
	op, a := "create_key", create
	if strings.HasPrefix(fault, "Register") {
		op, a = "store_key", store
	}
	r := h.ask(t, op, a)
	keys := readInventory(t, filepath.Join(filepath.Dir(s.config), "inventory.json"))
	if r.Error != nil {
		require.Equal(t, want, ending{r.Error.Kind, r.Error.MaybeExecuted, len(keys)}, "%s", r.Error.Message)
		return
	}
	require.Equal(t, want, ending{keys: len(keys)})
	require.Equal(t, keys[0].ID, keyID(t, r))
}

// TestDeleteIsFinal loses requests to delete, or the answers: the key is gone, and the caller told so, unless no request
// ever arrives. A service that is told otherwise keeps a volume that could go.
func TestDeleteIsFinal(t *testing.T) {
	for _, row := range []struct{ fault, kind string }{
		{"*:refuse", ""},
		{"Destroy:drop-request", ""},
		{"Destroy:drop-request:100", "unavailable"},
		{"Destroy:drop-response", ""},
		{"Destroy:drop-response:100", ""},
		{"Destroy:truncate=4", ""},
		{"Destroy:truncate=4:100", ""},
		{"Destroy:garbage", ""},
		{"Destroy:garbage:100", ""},
	} {
		t.Run(row.fault, func(t *testing.T) {
			s := startMock(t, "--fault", row.fault)
			h := helper{configs: []string{s.config}}.with(t, "retry_interval = 0.01")
			id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
			r := h.ask(t, "delete_key", args{"key_id": id})
			if row.kind != "" {
				requireKind(t, r, row.kind)
				require.True(t, r.Error.MaybeExecuted)
				require.Equal(t, 1, s.count(t))
				return
			}
			require.Nil(t, r.Error)
			require.Zero(t, s.count(t))
			requireKind(t, h.ask(t, "delete_key", args{"key_id": id}), "not_found")
		})
	}
}

// TestRetryInterval loses one request: the next attempt comes when retry_interval says, or a server that starts up would
// see all attempts at once.
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
