package tests

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLifeCycle is the product's main job: keys made, stored, read, copied and destroyed, on every server, in every
// version of KMIP it speaks, active or not, by one process a request and by one for all.
func TestLifeCycle(t *testing.T) {
	t.Parallel()
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			for _, version := range s.versions {
				for _, activate := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s, activate %v", version, activate), func(t *testing.T) {
						options := []string{"kmip_version = " + version, fmt.Sprintf("activate = %v", activate)}
						lifeCycle(t, s, helper{configs: []string{s.config}}.with(t, options...), activate)
					})
				}
			}
			t.Run("refusals", func(t *testing.T) { refusals(t, s, helper{configs: []string{s.config}}.ask) })
		})
	}
}

// lifeCycle leaves the server as it found it. PyKMIP takes some 40 ms for anything, so one-shots live one life only.
func lifeCycle(t *testing.T, s *server, h helper, activate bool) {
	before := s.count(t)
	state := "pre-active"
	if activate {
		state = "active"
	}
	t.Run("one-shots", func(t *testing.T) { createStory(t, h.ask, 256, state) })
	t.Run("session", func(t *testing.T) {
		session := h.session(t)
		for _, bits := range []int{128, 256, 512} {
			t.Run(fmt.Sprintf("create AES-%d", bits), func(t *testing.T) { createStory(t, session.ask, bits, state) })
		}
		for _, o := range samples(t) {
			t.Run("store "+o.Type, func(t *testing.T) { storeStory(t, session.ask, o, state) })
		}
		require.Equal(t, 1, session.end(t), "what is deleted is not found")
	})
	require.Equal(t, before, s.count(t), "objects left behind")
}

func createStory(t *testing.T, ask asker, bits int, state string) {
	name := fmt.Sprintf("key of %d bits", bits)
	id := keyID(t, ask(t, "create_key", args{"algorithm": "aes", "length": bits, "name": name}))
	key := get(t, ask, id)
	require.Equal(t, object{
		Type: "symmetric", Name: name, Created: key.Created, Value: key.Value, Algorithm: "AES", BitLength: bits,
		ID: id, Consumers: []any{}, State: state,
	}, key)
	require.Len(t, key.Value, bits/4, "hex digits")
	requireNow(t, key.Created)
	copyAndDelete(t, ask, key)
}

func storeStory(t *testing.T, ask asker, o object, state string) {
	id := keyID(t, ask(t, "store_key", args{"object": o}))
	stored := get(t, ask, id)
	requireNow(t, stored.Created)
	o.ID, o.Created, o.State = id, stored.Created, state
	if o.Type == "opaque" { // which has no State (KMIP 1.4 section 3.22); some servers give it one
		o.State = stored.State
	}
	require.Equal(t, o, stored)
	copyAndDelete(t, ask, stored)
}

// copyAndDelete ends the life of an object, and of a copy that must outlive it.
func copyAndDelete(t *testing.T, ask asker, o object) {
	t.Helper()
	copied := keyID(t, ask(t, "copy_key", args{"key_id": o.ID}))
	require.NotEqual(t, o.ID, copied)
	remove(t, ask, o.ID)
	requireKind(t, ask(t, "get_key", args{"key_id": o.ID}), "not_found")
	twin := get(t, ask, copied)
	o.ID, o.Created = copied, twin.Created
	require.Equal(t, o, twin)
	remove(t, ask, copied)
	requireKind(t, ask(t, "delete_key", args{"key_id": copied}), "not_found")
}

// refusals are requests that must fail and leave nothing.
func refusals(t *testing.T, s *server, ask asker) {
	const unknown = "6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11"
	before := s.count(t)
	for _, row := range []struct {
		name, op string
		args     args
		kind     string
	}{
		{"get of an unknown id", "get_key", args{"key_id": unknown}, "not_found"},
		{"copy of an unknown id", "copy_key", args{"key_id": unknown}, "not_found"},
		{"delete of an unknown id", "delete_key", args{"key_id": unknown}, "not_found"},
		{"get of the server's own kind of id", "get_key", args{"key_id": "1"}, "invalid_request"},
		{"delete of no id", "delete_key", args{"key_id": ""}, "invalid_request"},
		{"a key longer than its length", "store_key", args{"object": symmetric(32, 128)}, "invalid_request"},
		{"a key shorter than its length", "store_key", args{"object": symmetric(16, 256)}, "invalid_request"},
		{"a key of no bytes", "store_key", args{"object": symmetric(0, 128)}, "invalid_request"},
		{"no such algorithm", "create_key", args{"algorithm": "ROT13", "length": 128}, "invalid_request"},
		{"half a byte", "create_key", args{"algorithm": "AES", "length": 255}, "invalid_request"},
	} {
		t.Run(row.name, func(t *testing.T) { requireKind(t, ask(t, row.op, row.args), row.kind) })
	}
	require.Equal(t, before, s.count(t), "a request that failed left an object")
}

// TestOwners shows who may see a key: its project, the service itself, and no other client.
func TestOwners(t *testing.T) {
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			service := helper{configs: []string{s.config}}
			red, blue := service.inProject("red"), service.inProject("blue")
			id := keyID(t, red.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
			key := get(t, red.ask, id)
			for _, op := range []string{"get_key", "copy_key", "delete_key"} {
				requireKind(t, blue.ask(t, op, args{"key_id": id}), "not_found")
				r := service.as(t, s.other).ask(t, op, args{"key_id": id})
				require.NotNil(t, r.Error, "%s by another client", op)
				require.Contains(t, []string{"forbidden", "not_found"}, r.Error.Kind)
			}
			require.Equal(t, 1, s.count(t))
			require.Equal(t, key, get(t, red.ask, id))
			require.Equal(t, key, get(t, service.ask, id), "no project: the service itself")
			require.Equal(t, key, get(t, blue.with(t, "project_isolation = false").ask, id))
			copied := keyID(t, red.ask(t, "copy_key", args{"key_id": id}))
			requireKind(t, blue.ask(t, "get_key", args{"key_id": copied}), "not_found")
			remove(t, red.ask, copied)
			remove(t, service.ask, id)
			require.Zero(t, s.count(t))
		})
	}
}

// TestAtOnce runs several helpers at the same time: what each one made is its own.
func TestAtOnce(t *testing.T) {
	const helpers = 8
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			h := helper{configs: []string{s.config}}
			keys := make([]object, helpers)
			t.Run("helpers", func(t *testing.T) {
				for i := range keys {
					t.Run(fmt.Sprint(i), func(t *testing.T) {
						t.Parallel()
						keys[i] = get(t, h.ask, keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "same"})))
					})
				}
			})
			require.Equal(t, helpers, s.count(t))
			for _, distinct := range []func(object) any{
				func(o object) any { return o.ID },
				func(o object) any { return o.Value },
			} {
				seen := map[any]bool{}
				for _, key := range keys {
					seen[distinct(key)] = true
				}
				require.Len(t, seen, helpers)
			}
			for _, key := range keys {
				require.Equal(t, key, get(t, h.ask, key.ID))
				remove(t, h.ask, key.ID)
			}
			require.Zero(t, s.count(t))
		})
	}
}

// TestSessionEqualsOneShots asks one process and many for the same things: the lines are the same.
func TestSessionEqualsOneShots(t *testing.T) {
	for _, kind := range servers {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			h := helper{configs: []string{s.config}}
			session := h.session(t)
			var ids []string
			for _, o := range samples(t) {
				ids = append(ids, keyID(t, session.ask(t, "store_key", args{"object": o})))
			}
			ids = append(ids, "6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11", "no UUID")
			for _, id := range ids {
				for _, a := range []args{{"key_id": id}, {"key_id": id, "metadata_only": true}} {
					require.Equal(t, h.run(t, h.request(t, "get_key", a)).stdout, session.line(t, "get_key", a))
				}
			}
			require.Equal(t, 1, session.end(t))
		})
	}
}

// TestVersionNotSpoken shows what is said where the operator asks for a version that the server lacks.
func TestVersionNotSpoken(t *testing.T) {
	for _, row := range []struct {
		name  string
		start func(t *testing.T) *server
	}{
		{"mock", func(t *testing.T) *server { return startMock(t, "--kmip-versions", "1.0-2.0") }},
		{"PyKMIP", func(t *testing.T) *server { return startPyKMIP(t, ecKey(t)) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := row.start(t)
			h := helper{configs: []string{s.config}}.with(t, "kmip_version = 2.1")
			r := h.ask(t, "create_key", args{"algorithm": "AES", "length": 256})
			require.NotNil(t, r.Error)
			require.Contains(t, []string{"unsupported", "config"}, r.Error.Kind, "%+v", r.Error)
			require.Contains(t, r.Error.Message, "2.1")
			require.Zero(t, s.count(t))
		})
	}
}

// TestNegotiation finds the one version that a server speaks.
func TestNegotiation(t *testing.T) {
	for _, version := range []string{"1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1"} {
		t.Run(version, func(t *testing.T) {
			s := startMock(t, "--kmip-versions", version+"-"+version)
			h := helper{configs: []string{s.config}}
			id := keyID(t, h.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
			require.Equal(t, 256, get(t, h.ask, id).BitLength)
			require.Equal(t, 1, s.count(t), "one key however many versions were tried")
		})
	}
}

// TestNames keeps Castellan's names as they are, which need not be unique, short or ASCII. It leaves PyKMIP out, which
// decodes UTF-8 one byte at a time and so takes ASCII alone.
func TestNames(t *testing.T) {
	s := startMock(t)
	session := helper{configs: []string{s.config}}.session(t)
	names := []string{"clé de chiffrement", "鍵", "key 🔑", "a\"b\\c\n\t", strings.Repeat("long", 1000), "twice", "twice", "6f1c0f52-58b1-4a42-8f6c-3c6e8f0b8a11"}
	for _, name := range names {
		id := keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": 128, "name": name}))
		require.Equal(t, name, get(t, session.ask, id).Name)
	}
	require.Equal(t, len(names), s.count(t))
	nameless := keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": 128}))
	require.Nil(t, get(t, session.ask, nameless).Name)
	requireKind(t, session.ask(t, "get_key", args{"key_id": names[len(names)-1]}), "not_found") // a name is no id
	require.Equal(t, 1, session.end(t))
}

// samples are one object of each type that can be stored, as Castellan would have them.
func samples(t *testing.T) []object {
	t.Helper()
	private := rsaKey(t)
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	publicDER, err := x509.MarshalPKIXPublicKey(private.Public())
	require.NoError(t, err)
	return []object{
		symmetric(32, 256),
		{Type: "private", Name: "a private key", Value: hex.EncodeToString(privateDER), Algorithm: "RSA", BitLength: 2048, Consumers: []any{}},
		{Type: "public", Name: "a public key", Value: hex.EncodeToString(publicDER), Algorithm: "RSA", BitLength: 2048, Consumers: []any{}},
		{Type: "certificate", Name: "a certificate", Value: hex.EncodeToString(newPKI(t).cert.Raw), Consumers: []any{}},
		{Type: "passphrase", Name: "a pass phrase of Nova's vTPM", Value: randomHex(t, 512), Consumers: []any{}},
		{Type: "opaque", Name: "opaque \"data\"", Value: randomHex(t, 1000), Consumers: []any{}},
	}
}

func symmetric(bytes, bits int) object {
	value := make([]byte, bytes)
	_, _ = rand.Read(value) // never fails
	return object{
		Type: "symmetric", Name: "a symmetric key", Value: hex.EncodeToString(value), Algorithm: "AES", BitLength: bits,
		Consumers: []any{},
	}
}

func randomHex(t *testing.T, bytes int) string {
	t.Helper()
	value := make([]byte, bytes)
	_, err := rand.Read(value)
	require.NoError(t, err)
	return hex.EncodeToString(value)
}

var canonicalUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// keyID is the answer to a request that made one object.
func keyID(t *testing.T, r response) string {
	t.Helper()
	require.Nil(t, r.Error)
	require.Regexp(t, canonicalUUID, r.Result.KeyID)
	return r.Result.KeyID
}

func get(t *testing.T, ask asker, id string) object {
	t.Helper()
	r := ask(t, "get_key", args{"key_id": id})
	require.Nil(t, r.Error)
	require.NotNil(t, r.Result.Object)
	return *r.Result.Object
}

// requireNow wants Unix seconds of about now.
func requireNow(t *testing.T, created any) {
	t.Helper()
	require.InDelta(t, time.Now().Unix(), created, 60)
}

func remove(t *testing.T, ask asker, id string) {
	t.Helper()
	require.Nil(t, ask(t, "delete_key", args{"key_id": id}).Error)
}

// requireKind wants an error of the kind, with a message for people.
func requireKind(t *testing.T, r response, kind string) {
	t.Helper()
	require.NotNil(t, r.Error, "an error of kind %s", kind)
	require.Equal(t, kind, r.Error.Kind, "%+v", r.Error)
	require.NotEmpty(t, r.Error.Message)
}
