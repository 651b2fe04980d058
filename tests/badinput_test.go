package tests

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// complaint is what must be said about bad input.
type complaint struct {
	status  int
	kind    string
	phrases []string // each stands in the message
}

func (c complaint) require(t *testing.T, o outcome) *failure {
	t.Helper()
	require.Equal(t, 1, strings.Count(o.stdout, "\n"), "one line: %q", o.stdout)
	r := parse(t, o.stdout)
	require.NotNil(t, r.Error, "%s", o.stdout)
	require.Equal(t, c.kind, r.Error.Kind, "%s", r.Error.Message)
	for _, phrase := range c.phrases {
		require.Contains(t, r.Error.Message, phrase)
	}
	require.Equal(t, c.status, o.status, "%s", o.stdout)
	return r.Error
}

// config is the complaint about what an operator has to mend.
func config(phrases ...string) complaint { return complaint{2, "config", phrases} }

// usage is the complaint about a command line.
func usage(phrases ...string) complaint { return complaint{2, "invalid_request", phrases} }

// create is the request by which most rows try their luck.
func create(t *testing.T, h helper) outcome {
	t.Helper()
	return h.run(t, h.request(t, "create_key", args{"algorithm": "AES", "length": 256, "name": "lost?"}))
}

func TestBadInput(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 5000)
	huge := `{"version":1,"op":"check","id":"` + strings.Repeat("x", 9<<20) + `"}`
	for _, row := range []struct {
		name, stdin string
		complaint
	}{
		{"nothing", "", complaint{2, "invalid_request", []string{"without a request"}}},
		{"white space", " \n\t\n", complaint{2, "invalid_request", []string{"without a request"}}},
		{"garbage", "\x00\xff\x7fELF", complaint{2, "invalid_request", []string{"byte 1"}}},
		{"no object", "[]\n", complaint{2, "invalid_request", []string{"JSON object"}}},
		{"no UTF-8", `{"version":1,"op":"check","id":"` + "\xe9" + `"}`, complaint{2, "invalid_request", []string{"UTF-8"}}},
		{"cut short", `{"version":1,"op":"che`, complaint{2, "invalid_request", []string{"within the request"}}},
		{"huge", huge, complaint{2, "invalid_request", []string{"more than", "bytes"}}},
		{"deep", deep, complaint{2, "invalid_request", []string{"nesting"}}},
		{"no version", `{"op":"check"}`, complaint{1, "unsupported", []string{"version", "supported: 1"}}},
		{"unknown version", `{"version":2,"op":"check"}`, complaint{1, "unsupported", []string{"version", "supported: 1"}}},
		{"unknown op", `{"version":1,"op":"rekey"}`, complaint{1, "unsupported", []string{"rekey", "create_key"}}},
		{"no args", `{"version":1,"op":"get_key"}`, complaint{1, "invalid_request", []string{"args.key_id"}}},
		{
			"an id that is no UUID", `{"version":1,"op":"get_key","args":{"key_id":"923"}}`,
			complaint{1, "invalid_request", []string{"args.key_id", "UUID"}},
		},
		{
			"a value that is no hex", `{"version":1,"op":"store_key","args":{"object":{"type":"opaque","value":"xyz"}}}`,
			complaint{1, "invalid_request", []string{"args.object.value", "hex"}},
		},
		{
			"bytes that do not fit the length", `{"version":1,"op":"store_key","args":{"object":
			{"type":"symmetric","algorithm":"AES","bit_length":256,"value":"00112233445566778899aabbccddeeff"}}}`,
			complaint{1, "invalid_request", []string{"128", "256"}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPKI(t)
			row.require(t, p.helper(t, "127.0.0.1:"+nobodysPort).run(t, row.stdin))
		})
	}
}

// TestBadRequestAmongGood shows that a request which cannot be served takes nothing from the others.
func TestBadRequestAmongGood(t *testing.T) {
	s := startMock(t)
	session := helper{configs: []string{s.config}}.session(t)
	first := keyID(t, session.ask(t, "create_key", args{"algorithm": "AES", "length": 256}))
	requireKind(t, session.ask(t, "rekey", nil), "unsupported")
	requireKind(t, session.ask(t, "get_key", args{"key_id": 7}), "invalid_request")
	require.Equal(t, first, get(t, session.ask, first).ID)
	require.Equal(t, 1, session.end(t))
}

func TestBadUsage(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nova.conf")
	empty := filepath.Join(t.TempDir(), "empty.conf")
	writeLines(t, empty, "[DEFAULT]")
	wrong := filepath.Join(t.TempDir(), "wrong.conf")
	writeLines(t, wrong, "[kmip]", "certfile = a", "keyfile = b", "ca_certs = c", "port = many")
	for _, row := range []struct {
		name  string
		flags []string
		complaint
	}{
		{"unknown flag", []string{"--insecure"}, usage("insecure")},
		{"an argument", []string{"get_key"}, usage("get_key")},
		{"a flag without its value", []string{"--config-file"}, usage("config-file")},
		{"a time that is none", []string{"--timeout", "soon"}, usage("timeout", "soon")},
		{"a time before it began", []string{"--timeout", "-1s"}, usage("timeout", "-1s", "negative")},
		{"missing file", []string{"--config-file", nowhere}, config(nowhere)},
		{"missing directory", []string{"--config-dir", nowhere}, config(nowhere)},
		{"no section", []string{"--config-file", empty}, config(empty, "[kmip] certfile")},
		{"an option that cannot be honoured", []string{"--config-file", wrong}, config(wrong+":5", "[kmip] port", "many")},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.require(t, helper{}.run(t, `{"version":1,"op":"create_key","args":{"algorithm":"AES","length":256}}`, row.flags...))
		})
	}
	both := complaint{2, "unsupported", []string{"rekey"}}
	both.require(t, helper{}.run(t, `{"version":1,"op":"rekey"}`, "--config-file", empty))
}

func TestBadFiles(t *testing.T) {
	for _, row := range []struct {
		name   string
		option string
		spoil  func(t *testing.T, path string)
		phrase string
	}{
		{"missing key", "keyfile", vanish, "no such file"},
		{"key that is a directory", "keyfile", directory, "directory"},
		{"key that nobody may read", "keyfile", mode(0), "permission denied"},
		{"key that the world may read", "keyfile", mode(0o644), "chmod"},
		{"empty key", "keyfile", contents(""), "PEM"},
		{"key that is none", "keyfile", contents("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), ""},
		{"key of another certificate", "keyfile", anotherKey, "match"},
		{"missing certificate", "certfile", vanish, "no such file"},
		{"certificate that is none", "certfile", contents("certificate"), "PEM"},
		{"missing CA", "ca_certs", vanish, "no such file"},
		{"CA that is none", "ca_certs", contents("certificate"), "PEM"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPKI(t)
			path := filepath.Join(t.TempDir(), "spoilt.pem")
			h := withoutOverride(p.helper(t, "127.0.0.1:"+nobodysPort))
			good := map[string]string{"keyfile": "client-key.pem", "certfile": "client.pem", "ca_certs": "ca.pem"}[row.option]
			text, err := os.ReadFile(filepath.Join(p.dir, good))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, text, 0o600))
			row.spoil(t, path)
			config(row.option, path, row.phrase).require(t, create(t, h.with(t, row.option+" = "+path)))
		})
	}
}

// withoutOverride takes from root the right to read what nobody may read.
func withoutOverride(h helper) helper {
	if os.Geteuid() == 0 {
		h.wrapper = []string{"setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"}
	}
	return h
}

func vanish(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }

func directory(t *testing.T, path string) {
	vanish(t, path)
	require.NoError(t, os.Mkdir(path, 0o700))
}

func mode(bits os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, bits)) }
}

func contents(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) { writeLines(t, path, text) }
}

func anotherKey(t *testing.T, path string) {
	other := newPKI(t).client(t, "another")
	text, err := os.ReadFile(other.key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// TestBadTLS meets servers that cannot be trusted, or that do not trust.
func TestBadTLS(t *testing.T) {
	past, soon := time.Now().Add(-time.Minute), time.Now().Add(30*time.Minute)
	for _, row := range []struct {
		name    string
		change  func(*x509.Certificate)
		config  func(*tls.Config)
		options []string
		complaint
	}{
		{
			name: "expired", change: func(c *x509.Certificate) { c.NotAfter = past },
			complaint: config("expired", "is valid from", past.UTC().Format(time.DateOnly)),
		},
		{
			name: "not yet valid", change: func(c *x509.Certificate) { c.NotBefore = soon },
			complaint: config("not yet valid", "is valid from"),
		},
		{
			name: "for another name", change: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"kms1.example"} },
			complaint: config("127.0.0.1", "kms1.example", "server_name"),
		},
		{
			name: "common name only", change: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, nil },
			complaint: config("Common Name", `"server"`, "Subject Alternative Name"),
		},
		{
			name: "server_name that it has not", options: []string{"server_name = kms2.example"},
			complaint: config("kms2.example", "localhost", "server_name"),
		},
		{name: "no common suite", config: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
		}, complaint: config("tls_ciphers", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")},
		{
			name: "no common version", config: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			options: []string{"tls_min_version = 1.3"}, complaint: config("tls_min_version"),
		},
		{
			name: "a client of another CA", config: func(c *tls.Config) { c.ClientCAs = x509.NewCertPool() },
			complaint: config("certfile"),
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPKI(t)
			server := p.tlsConfig(t, p.server(t, ecKey(t), row.change))
			if row.config != nil {
				row.config(server)
			}
			address := says([]byte("never reached")).serve(t, server)
			failure := row.require(t, create(t, p.helper(t, address, row.options...)))
			require.Equal(t, address, failure.Server)
			require.False(t, failure.MaybeExecuted)
		})
	}
	t.Run("a CA that is not ours", func(t *testing.T) {
		p := newPKI(t)
		address := says(nil).serve(t, p.tlsConfig(t, p.server(t, ecKey(t), nil)))
		config("ca_certs").require(t, create(t, newPKI(t).helper(t, address)))
	})
	t.Run("our own certificate expired", func(t *testing.T) {
		p := newPKI(t)
		template := certificate("expired")
		template.NotAfter = past
		expired := p.write(t, "expired", template, ecKey(t))
		address := says(nil).serve(t, p.tlsConfig(t, p.server(t, ecKey(t), nil)))
		config("certfile").require(t, create(t, p.helper(t, address).as(t, expired)))
	})
}

// TestBadServers meets servers that are not there, or that do not answer in KMIP.
func TestBadServers(t *testing.T) {
	garbage := make([]byte, 512)
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	garbage[0] = 'H' // at any rate no KMIP
	message := func(length string) []byte { return append([]byte("\x42\x00\x7b\x01"), length...) }
	unavailable := complaint{1, "unavailable", nil}
	for _, row := range []struct {
		name  string
		serve func(t *testing.T, p *pki) string
		complaint
		maybe bool
	}{
		{
			"nobody", func(t *testing.T, _ *pki) string { return "127.0.0.1:" + nobodysPort },
			complaint{1, "unavailable", []string{"refused"}},
			false,
		},
		{"silence before TLS", silence, unavailable, false},
		{"silence after TLS", answering(func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)); time.Sleep(5 * time.Second) }), unavailable, true},
		{"hangs up after the request", answering(says(nil)), unavailable, true},
		{"no TLS at all", func(t *testing.T, _ *pki) string { return plain(t, "HTTP/1.1 400 Bad Request\r\n\r\n") }, unavailable, false},
		{"garbage", answering(says(garbage)), complaint{1, "internal", []string{"bad response"}}, true},
		{"truncated", answering(says(message("\x00\x00\x01\x00half of it"))), unavailable, true},
		{"oversized", answering(says(message("\x7f\xff\xff\xf8"))), complaint{1, "internal", []string{"bad response"}}, true},
		{"empty message", answering(says(message("\x00\x00\x00\x00"))), complaint{1, "internal", []string{"bad response"}}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPKI(t)
			address := row.serve(t, p)
			began := time.Now()
			failure := row.require(t, create(t, p.helper(t, address, "max_retries = 0")))
			require.Less(t, time.Since(began), 8*time.Second, "timeout is 4 seconds")
			require.Equal(t, address, failure.Server)
			require.Equal(t, row.maybe, failure.MaybeExecuted, "%s", failure.Message)
		})
	}
}

// answering serves a fake with a good certificate.
func answering(f fake) func(*testing.T, *pki) string {
	return func(t *testing.T, p *pki) string { return f.serve(t, p.tlsConfig(t, p.server(t, ecKey(t), nil))) }
}

func silence(t *testing.T, _ *pki) string { return plain(t, "") }

// plain is a server that takes connections, says something of its own and waits, without TLS.
func plain(t *testing.T, greeting string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return accept(t, listener, func(conn net.Conn) {
		_, _ = fmt.Fprint(conn, greeting)
		for buffer := make([]byte, 4096); ; { // until the other side gives up
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	})
}

// Tags of items in a reply (KMIP 1.4 section 9.1.3.1).
const (
	majorVersion     = 0x42006A
	resultOperation  = 0x42005C
	batchItemID      = 0x420093
	batchCount       = 0x42000D
	uniqueIdentifier = 0x420094
	objectType       = 0x420057
	keyLength        = 0x42002A
)

// flip changes the last byte of every item with that tag.
func flip(tag uint32) func([]byte) []byte {
	return change(tag, func(b byte) byte { return b ^ 1 })
}

// otherDigit changes a hexadecimal digit into another, and that one back.
func otherDigit(digit byte) byte {
	const digits = "0123456789abcdef"
	return digits[strings.IndexByte(digits, digit)^1]
}

// change alters the last byte of every value with the tag.
func change(tag uint32, last func(byte) byte) func([]byte) []byte {
	return func(reply []byte) []byte {
		changeIn(reply, tag, last)
		return reply
	}
}

// changeIn walks over items: tag, type, length, and the value padded to eight bytes (KMIP 1.4 section 9.1.1).
func changeIn(items []byte, tag uint32, last func(byte) byte) {
	const structure = 1
	for len(items) > 0 {
		length := binary.BigEndian.Uint32(items[4:])
		value := items[8 : 8+length]
		switch {
		case items[3] == structure:
			changeIn(value, tag, last)
		case binary.BigEndian.Uint32(items)>>8 == tag:
			value[length-1] = last(value[length-1])
		}
		items = items[8+(length+7)/8*8:]
	}
}

// TestBadReplies alters what the mock answers: nothing but a reply to what was asked may be believed. A key that is made is
// given out if its Name leads to it, in a reply that can be believed, or else the error says that it may be there.
func TestBadReplies(t *testing.T) {
	for _, row := range []struct {
		name    string
		alter   func([]byte) []byte
		failure string // the kind of a create's error
	}{
		{"another version", flip(majorVersion), "internal"},
		{"another operation", flip(resultOperation), "internal"},
		{"another batch item", flip(batchItemID), ""},
		{"another count of items", flip(batchCount), "internal"},
		{"another object", change(uniqueIdentifier, otherDigit), ""},
		{"another type of object", flip(objectType), ""},
		{"another length of the key", flip(keyLength), ""},
		{"cut in the middle", func(reply []byte) []byte { return reply[:len(reply)/2] }, "unavailable"},
		{"a length beyond the end", func(reply []byte) []byte { reply[15]++; return reply }, "internal"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, p := startMock(t), newPKI(t)
			direct := helper{configs: []string{s.config}}
			key := get(t, direct.ask, keyID(t, direct.ask(t, "create_key", args{"algorithm": "AES", "length": 256})))
			var altered atomic.Bool
			address := answering(altering(t, s, func(reply []byte) []byte {
				after := row.alter(bytes.Clone(reply))
				altered.Store(altered.Load() || !bytes.Equal(reply, after))
				return after
			}))(t, p)
			h := p.helper(t, address, "max_retries = 0")

			read := h.run(t, h.request(t, "get_key", args{"key_id": key.ID}))
			require.True(t, altered.Load())
			require.NotEqual(t, 0, read.status, "%s", read.stdout)
			require.NotContains(t, read.stdout, key.Value)

			made := parse(t, create(t, h).stdout)
			require.Equal(t, 2, s.count(t))
			if row.failure != "" {
				requireKind(t, made, row.failure)
				require.True(t, made.Error.MaybeExecuted, "a key was made: %s", made.Error.Message)
			} else {
				id := []byte(keyID(t, made))
				if row.name == "another object" { // in all replies alike, which nobody can tell from the truth
					id[len(id)-1] = otherDigit(id[len(id)-1])
				}
				require.NotEqual(t, key.Value, get(t, direct.ask, string(id)).Value)
			}
			require.Equal(t, key, get(t, direct.ask, key.ID), "what was there before is not lost")
		})
	}
}
