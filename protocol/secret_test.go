package protocol_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/protocol"
)

// planted is a secret that passes for text, hex and a number.
const planted = "5347534753475347"

// replaced calls try with v once for every leaf, the leaf being replaced by the planted secret; the id and the op, which
// are echoed and no secrets, are left alone.
func replaced(v any, plant any, try func()) {
	switch v := v.(type) {
	case map[string]any:
		for name, old := range v {
			replaced(old, plant, try)
			if name != "id" && name != "op" {
				v[name] = plant
				try()
				v[name] = old
			}
		}
	case []any:
		for i, old := range v {
			replaced(old, plant, try)
			v[i] = plant
			try()
			v[i] = old
		}
	}
}

func TestNoResponseShowsASecret(t *testing.T) {
	plants := []any{
		planted, planted + "0", planted + "g", "{" + planted + "}", json.Number(planted), json.Number(planted + "e999"),
		json.Number("1." + planted),
		[]any{planted},
		map[string]any{planted: planted},
	}
	tried := 0
	for _, e := range append(examples(t, "examples.jsonl"), examples(t, "errors.jsonl")...) {
		var request any
		require.NoError(t, json.Unmarshal(e.Request, &request))
		for _, plant := range plants {
			replaced(request, plant, func() {
				text, err := json.Marshal(request)
				require.NoError(t, err)
				out, _, _ := serve(string(text))
				require.NotContains(t, out, "53475347", string(text))
				tried++
			})
		}
	}
	require.Greater(t, tried, 1000)
}

func TestNoBrokenInputShowsASecret(t *testing.T) {
	request := `{"version":1,"id":"1","op":"store_key","context":{"auth_token":"` + planted + `"},"args":{"object":` +
		`{"type":"opaque","value":"` + planted + `"}}}`
	for i := range request {
		for _, input := range []string{request[:i], request[i:], request[:i] + `"` + request[i:], request[:i] + "\n" + request[i:]} {
			out, _, _ := serve(input)
			require.NotContains(t, out, "53475347", input)
		}
	}
}

func TestSecretsPrintAsTheirLength(t *testing.T) {
	b := secret.Bytes(planted)
	all := []any{
		&protocol.Context{
			AuthToken: b, ServiceToken: b, Castellan: b,
		},
		&protocol.StoreKey{Object: &protocol.Object{Value: b}},
		&protocol.Object{Value: b},
	}
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "5347")
			require.NotContains(t, fmt.Sprintf(verb, v), "53, 51")
			require.NotContains(t, fmt.Sprintf(verb, v), "35333437")
		}
	}
}

// kept remembers the very memory it was given.
type kept struct{ lines [][]byte }

func (k *kept) Write(p []byte) (int, error) {
	k.lines = append(k.lines, p)
	return len(p), nil
}

func TestSecretsAreOverwritten(t *testing.T) {
	const who = `"context":{"auth_token":"token","service_token":"t\u006fken","castellan":{"password":"p"}}`
	for _, request := range []string{
		`{"version":1,"id":"1","op":"store_key",` + who + `,"args":{"object":{"type":"opaque","value":"c0ffee"}}}`,
		`{"version":1,"id":"1","op":"get_key",` + who + `,"args":{"key_id":"` + keyID + `"}}`,
		`{"version":1,"id":"1","op":"list_keys",` + who + `}`,
	} {
		s, out := &stub{}, &kept{}
		require.Equal(t, protocol.OK, protocol.Serve(context.Background(), strings.NewReader(request), out, s))
		requireCleared(t, s.who.AuthToken, 5)
		requireCleared(t, s.who.ServiceToken, 5)
		requireCleared(t, s.who.Castellan, 16)
		if args, ok := s.args.(*protocol.StoreKey); ok {
			requireCleared(t, args.Object.Value, 3)
		}
		switch result := s.result.(type) {
		case *protocol.Object:
			requireCleared(t, result.Value, 4)
		case *protocol.KeyList:
			requireCleared(t, result.Objects[0].Value, 4)
			requireCleared(t, result.Objects[1].Value, 2)
		}
		for _, line := range out.lines {
			requireCleared(t, line, len(line))
		}
	}
}

func requireCleared(t *testing.T, b []byte, length int) {
	t.Helper()
	require.Equal(t, make([]byte, length), []byte(b))
}

// quoting refuses whatever it is asked, and quotes it.
type quoting struct {
	stub
	words string
}

func (q *quoting) StoreKey(context.Context, *protocol.Context, *protocol.StoreKey) (*protocol.KeyID, error) {
	return nil, &protocol.Error{Kind: protocol.Internal, Message: "the server says: " + q.words}
}

// TestQuotedSecrets has a server quote what it was sent. No error passes that on.
func TestQuotedSecrets(t *testing.T) {
	secrets := []string{"the-auth-token", "the-service-token", "castellans-token", "castellans-password", "the value", "7468652076616c7565", "7468652076616C7565"}
	q := &quoting{words: strings.Join(secrets, ", ") + " and a key"}
	request := `{"version":1,"op":"store_key","context":{"auth_token":"the-auth-token","service_token":"the-service-token",` +
		`"castellan":{"type":"token","token":"castellans-token","password":"castellans-password"}},` +
		`"args":{"object":{"type":"passphrase","value":"7468652076616c7565"}}}`
	var out bytes.Buffer
	require.Equal(t, protocol.Failed, protocol.Serve(t.Context(), strings.NewReader(request), &out, q))
	require.Contains(t, out.String(), "the server says: ***, ***, ***, ***, ***, ***, *** and a key")
	q.words = "no"
	out.Reset()
	protocol.Serve(t.Context(), strings.NewReader(`{"version":1,"op":"store_key","args":{"object":{"type":"passphrase","value":"6e6f"}}}`), &out, q)
	require.Contains(t, out.String(), "the server says: no")
}

// TestQuotedWithEscapes: an error shows a server's words as %q writes them, in which a secret may look otherwise.
func TestQuotedWithEscapes(t *testing.T) {
	for _, value := range []string{`my "secret" value`, `my\secret`, "my\nsecret", "my \xffsecret"} {
		var out bytes.Buffer
		q := &quoting{words: fmt.Sprintf("no (%q)", "bad value "+value)}
		protocol.Serve(t.Context(), strings.NewReader(fmt.Sprintf(`{"version":1,"op":"store_key","args":{"object":{"type":"passphrase","value":"%x"}}}`,
			value)), &out, q)
		require.Contains(t, out.String(), `the server says: no (\"bad value ***\")`, value)
	}
}

// TestShortSecrets: a password of four characters is kept out of errors too. What is shorter could be in any text.
func TestShortSecrets(t *testing.T) {
	const request = `{"version":1,"op":"store_key","context":{"auth_token":%q,"service_token":%q,"castellan":{"token":%q,"password":%q}},` +
		`"args":{"object":{"type":"passphrase","value":%q}}}`
	for at, field := range []string{"auth_token", "service_token", "castellan's token", "castellan's password", "value", "value's digits"} {
		for quoted, hidden := range map[string]bool{"abc": false, "abcd": true, "abcde": true, "abcdef": true} {
			secrets := []any{"", "", "", "", ""}
			switch {
			case at < 4:
				secrets[at] = quoted
			case field == "value":
				secrets[at] = hex.EncodeToString([]byte(quoted))
			case len(quoted)%2 == 0:
				secrets[4] = quoted
			default:
				continue // half a byte
			}
			var out bytes.Buffer
			q := &quoting{words: quoted + "!"}
			require.Equal(t, protocol.Failed, protocol.Serve(t.Context(), strings.NewReader(fmt.Sprintf(request, secrets...)), &out, q))
			if hidden {
				require.Contains(t, out.String(), "the server says: ***!", field)
			} else {
				require.Contains(t, out.String(), "the server says: abc!", field)
			}
		}
	}
}

// TestSecretWithinASecret: a token that a password begins with does not leave the rest of the password in an error.
func TestSecretWithinASecret(t *testing.T) {
	var out bytes.Buffer
	q := &quoting{words: "token-and-more and token"}
	protocol.Serve(t.Context(), strings.NewReader(`{"version":1,"op":"store_key","context":{"auth_token":"token",`+
		`"castellan":{"password":"token-and-more"}},"args":{"object":{"type":"passphrase","value":""}}}`), &out, q)
	require.Contains(t, out.String(), "the server says: *** and ***")
}

// TestClearedContext: a caller who is done with somebody leaves none of what proves that it is them.
func TestClearedContext(t *testing.T) {
	secrets := []secret.Bytes{secret.Bytes("token"), secret.Bytes("service"), secret.Bytes(`{"password":"p"}`)}
	who := protocol.Context{AuthToken: secrets[0], ServiceToken: secrets[1], Castellan: secrets[2]}
	who.Clear()
	for _, s := range secrets {
		requireCleared(t, s, len(s))
	}
}

// heard remembers the very memory that it filled.
type heard struct {
	io.Reader
	rooms [][]byte
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	h.rooms = append(h.rooms, p[:n])
	return n, err
}

// TestUnansweredInputIsOverwritten: a key behind the place where the input is broken would stay in memory.
func TestUnansweredInputIsOverwritten(t *testing.T) {
	in := &heard{Reader: strings.NewReader(`{"version":}{"op":"store_key","args":{"object":{"value":"c0ffee"}}}`)}
	require.Equal(t, protocol.Broken, protocol.Serve(t.Context(), in, io.Discard, &stub{}))
	require.NotEmpty(t, in.rooms)
	for _, room := range in.rooms {
		requireCleared(t, room, len(room))
	}
}
