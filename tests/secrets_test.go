package tests

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Secrets that no other text holds by chance.
const (
	plantedKey      = "c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee5ec2e75ec2"
	plantedPassword = "Pa55word-planted"
	plantedToken    = "gAAAAABplanted-token"
	plantedService  = "gAAAAABplanted-service-token"
)

// forms are the ways in which a secret could show.
func forms(t *testing.T) []string {
	t.Helper()
	key, err := hex.DecodeString(plantedKey)
	require.NoError(t, err)
	return []string{
		plantedKey, strings.ToUpper(plantedKey), string(key), plantedKey[8:40], strings.Trim(fmt.Sprint(key), "[]"),
		plantedPassword, plantedToken, plantedService,
	}
}

func requireNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range forms(t) {
		require.NotContains(t, text, secret, where)
	}
}

// secretive is a helper that is given every secret there is.
func secretive(t *testing.T, s *server) helper {
	t.Helper()
	h := helper{configs: []string{s.config}}.with(t, "username = nova", "password = "+plantedPassword)
	h.context = args{
		"project_id": "p", "user_id": "u", "auth_token": plantedToken, "service_token": plantedService,
	}
	return h
}

func plantedObject(bits int) object {
	return object{Type: "symmetric", Name: "planted", Value: plantedKey, Algorithm: "AES", BitLength: bits}
}

// TestErrorsHoldNoSecret provokes errors with secrets in hand.
func TestErrorsHoldNoSecret(t *testing.T) {
	s := startMock(t)
	h := secretive(t, s)
	good := strings.TrimSpace(h.request(t, "store_key", args{"object": plantedObject(256)}))
	for _, row := range []struct{ name, stdin string }{
		{"bytes that do not fit", h.request(t, "store_key", args{"object": plantedObject(128)})},
		{"cut short", good[:len(good)-2]},
		{"a brace too many", good + "}"},
		{"unknown op", strings.Replace(good, `"store_key"`, `"stash_key"`, 1)},
		{"unknown version", strings.Replace(good, `"version":1`, `"version":9`, 1)},
		{"key where a number is wanted", strings.Replace(good, `"bit_length":256`, `"bit_length":"`+plantedKey+`"`, 1)},
		{"key as an id", h.request(t, "get_key", args{"key_id": plantedKey})},
		{"odd hex", strings.Replace(good, plantedKey, plantedKey+"0", 1)},
		{"token that is none", strings.Replace(good, `"`+plantedToken+`"`, `["`+plantedToken+`"]`, 1)},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := h.run(t, row.stdin)
			require.NotEqual(t, 0, o.status, "%s", o.stdout)
			requireNoSecret(t, "stdout", o.stdout)
			requireNoSecret(t, "stderr", o.stderr)
		})
	}
}

// TestFaultsShowNoSecret has a server that refuses, or answers nonsense, with secrets in hand.
func TestFaultsShowNoSecret(t *testing.T) {
	for _, action := range []string{"reason=PermissionDenied", "garbage", "drop-request", "truncate=100"} {
		t.Run(action, func(t *testing.T) {
			h := secretive(t, startMock(t, "--fault", "*:"+action+":100")).with(t, "max_retries = 1", "retry_interval = 0.01")
			o := h.run(t, h.request(t, "store_key", args{"object": plantedObject(256)}))
			require.Equal(t, 1, o.status, "%s", o.stdout)
			requireNoSecret(t, "stdout", o.stdout)
			requireNoSecret(t, "stderr", o.stderr)
		})
	}
}

// TestBadPasswordIsNotShown has a password that cannot be honoured, and one in the text of another option.
func TestBadPasswordIsNotShown(t *testing.T) {
	s := startMock(t)
	for _, options := range [][]string{
		{"password = " + plantedPassword},
		{"username = u", "password = " + plantedPassword + "$nowhere"},
		{"username = u", "password = " + plantedPassword, "port = $password"},
	} {
		o := create(t, helper{configs: []string{s.config}}.with(t, options...))
		config().require(t, o)
		requireNoSecret(t, "stdout", o.stdout)
		requireNoSecret(t, "stderr", o.stderr)
	}
}

// TestProcessShowsNoSecret looks at a helper from outside while it works, as any user of the host could.
func TestProcessShowsNoSecret(t *testing.T) {
	s := startMock(t)
	session := secretive(t, s).session(t)
	id := keyID(t, session.ask(t, "store_key", args{"object": plantedObject(256)}))
	require.Equal(t, plantedKey, get(t, session.ask, id).Value)
	for _, file := range []string{"cmdline", "environ", "comm", "status"} {
		text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(session.cmd.Process.Pid), file))
		require.NoError(t, err)
		require.NotEmpty(t, text, file)
		requireNoSecret(t, file, string(text))
	}
	limits, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(session.cmd.Process.Pid), "limits"))
	require.NoError(t, err)
	require.Regexp(t, `Max core file size +0 +0 `, string(limits), "a core dump would hold keys")
	require.Equal(t, 0, session.end(t))
	requireNoSecret(t, "stderr", session.stderr.String())
}

// TestServersKeepNoSecret reads what the mock leaves behind for people.
func TestServersKeepNoSecret(t *testing.T) {
	s := startMock(t)
	h := secretive(t, s)
	id := keyID(t, h.ask(t, "store_key", args{"object": plantedObject(256)}))
	inventory, err := os.ReadFile(filepath.Join(filepath.Dir(s.config), "inventory.json"))
	require.NoError(t, err)
	require.Contains(t, string(inventory), id)
	requireNoSecret(t, "inventory", string(inventory))
	requireNoSecret(t, "the mock's output", s.out.String())
}

// TestCrashLeavesNoCore has a helper crash that holds secrets, where core dumps are wanted and Go is told to make one.
func TestCrashLeavesNoCore(t *testing.T) {
	h := secretive(t, startMock(t))
	h.wrapper = []string{"sh", "-c", `ulimit -c unlimited && cd "$0" && exec "$@"`, t.TempDir()}
	session := h.session(t, "GOTRACEBACK=crash")
	keyID(t, session.ask(t, "store_key", args{"object": plantedObject(256)}))
	_, err := io.WriteString(session.in, strings.TrimSuffix(h.request(t, "store_key", args{"object": plantedObject(256)}), "}\n"))
	require.NoError(t, err)
	require.NoError(t, session.cmd.Process.Signal(syscall.SIGABRT))
	_ = session.cmd.Wait() // the status is what follows
	status := session.cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, status.Signaled(), "%v", session.cmd.ProcessState)
	require.False(t, status.CoreDump(), "%v", session.cmd.ProcessState)
	files, err := os.ReadDir(h.wrapper[3])
	require.NoError(t, err)
	require.Empty(t, files)
	require.Contains(t, session.stderr.String(), "SIGABRT")
	requireNoSecret(t, "stderr", session.stderr.String())
}

// TestKeyFileOfOthers has a private key that everybody may read: the helper does not use it.
func TestKeyFileOfOthers(t *testing.T) {
	s := startMock(t)
	h := secretive(t, s)
	key := filepath.Join(filepath.Dir(s.config), "client-key.pem")
	for _, mode := range []os.FileMode{0o604, 0o602, 0o601, 0o644, 0o666} {
		require.NoError(t, os.Chmod(key, mode))
		o := h.run(t, h.request(t, "store_key", args{"object": plantedObject(256)}))
		r := parse(t, o.stdout)
		requireKind(t, r, "config")
		require.Contains(t, r.Error.Message, fmt.Sprintf("mode %04o", mode))
		requireNoSecret(t, "stdout", o.stdout)
		requireNoSecret(t, "stderr", o.stderr)
	}
	require.Zero(t, s.count(t))
	require.NoError(t, os.Chmod(key, 0o640))
	keyID(t, h.ask(t, "store_key", args{"object": plantedObject(256)}))
}
