package protocol_test

import (
	"context"
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

// TestLargeObjectsAreLetGo: a session that gave out one large object would have as much memory for ever, and clear it in each
// request.
func TestLargeObjectsAreLetGo(t *testing.T) {
	km, out := &large{value: make(secret.Bytes, 1<<20)}, &kept{}
	const request = `{"version":1,"op":"get_key","args":{"key_id":"` + keyID + `"}}`
	in := &heard{Reader: strings.NewReader(request + strings.Repeat(" ", 1<<20) + request + request)}
	require.Equal(t, protocol.OK, protocol.Serve(t.Context(), in, out, km))
	require.Len(t, out.lines, 3)
	require.Greater(t, cap(out.lines[0]), 1<<20)
	require.Less(t, cap(out.lines[2]), 1<<17)
}

// large gives out a large object first, and then small ones.
type large struct {
	stub
	value secret.Bytes
}

func (l *large) GetKey(context.Context, *protocol.Context, *protocol.GetKey) (*protocol.Object, error) {
	o := &protocol.Object{Type: protocol.OpaqueData, Value: l.value}
	l.value = secret.Bytes("small")
	return o, nil
}
