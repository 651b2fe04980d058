package protocol_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/internal/secret"
	"kmip-keymgr/protocol"
)

// response is a response as a caller reads it.
type response struct {
	Version int              `json:"version"`
	ID      *string          `json:"id"`
	Result  *json.RawMessage `json:"result"`
	Error   *json.RawMessage `json:"error"`
}

// wireObject is an Object as encoding/json reads it, by names spelled a second time.
type wireObject struct {
	Type      string              `json:"type"`
	Name      string              `json:"name"`
	Created   int64               `json:"created"`
	Value     *string             `json:"value"`
	Algorithm string              `json:"algorithm"`
	BitLength int                 `json:"bit_length"`
	ID        string              `json:"id"`
	Consumers []map[string]string `json:"consumers"`
	State     string              `json:"state"`
}

func wire(o *protocol.Object) wireObject {
	w := wireObject{
		Type: string(o.Type), Name: o.Name, Created: o.Created, Algorithm: o.Algorithm, BitLength: o.BitLength,
		ID: o.ID, State: o.State, Consumers: []map[string]string{},
	}
	if o.Value != nil {
		digits := hex.EncodeToString(o.Value)
		w.Value = &digits
	}
	for _, c := range o.Consumers {
		w.Consumers = append(w.Consumers, map[string]string{
			"service": c.Service, "resource_type": c.ResourceType, "resource_id": c.ResourceID,
		})
	}
	return w
}

// isStream says what broken input is not, in the eyes of encoding/json.
func isStream(input []byte) bool {
	d := json.NewDecoder(bytes.NewReader(input))
	for n := 0; ; n++ {
		var request map[string]json.RawMessage
		var text json.RawMessage
		err := d.Decode(&text)
		if err == io.EOF {
			return n > 0
		}
		if err != nil || text[0] != '{' || json.Unmarshal(text, &request) != nil || !utf8.Valid(text) {
			return false
		}
	}
}

// requireResponses holds for any input at all: lines of JSON, no more than there are requests and one, each with a result
// or an error, and a status that fits them.
func requireResponses(t require.TestingT, input []byte) {
	out, status := (&stub{}).serve(bytes.NewReader(input))
	require.True(t, strings.HasSuffix(out, "\n"))
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.LessOrEqual(t, len(lines), bytes.Count(input, []byte("{"))+1)
	if !strings.Contains(out, "levels of nesting") && !strings.Contains(out, `"kind":"config"`) {
		require.Equal(t, isStream(input), status != protocol.Broken)
	}
	failed := false
	for _, line := range lines {
		var r response
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		require.Equal(t, protocol.Version, r.Version)
		require.NotEqual(t, r.Result == nil, r.Error == nil)
		failed = failed || r.Error != nil
	}
	require.Equal(t, failed, status != protocol.OK)
}

func TestAnyBytesAreAnswered(t *testing.T) {
	var all []byte
	for _, e := range append(examples(t, "examples.jsonl"), examples(t, "errors.jsonl")...) {
		all = append(all, e.Request...)
	}
	rapid.Check(t, func(t *rapid.T) {
		requireResponses(t, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))

		garbled := bytes.Clone(all)
		for range rapid.IntRange(1, 4).Draw(t, "mutations") {
			at := rapid.IntRange(0, len(garbled)-1).Draw(t, "at")
			garbled[at] = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte(`{}[]",:\0n`))).Draw(t, "byte")
		}
		requireResponses(t, garbled[:rapid.IntRange(0, len(garbled)).Draw(t, "end")])
	})
}

func FuzzServe(f *testing.F) {
	for _, e := range append(examples(f, "examples.jsonl"), examples(f, "errors.jsonl")...) {
		f.Add([]byte(e.Request))
	}
	f.Add([]byte(ask + "\n" + bad + "[]"))
	f.Fuzz(func(t *testing.T, input []byte) { requireResponses(t, input) })
}

var objects = rapid.Custom(func(t *rapid.T) *protocol.Object {
	o := &protocol.Object{
		Type: rapid.SampledFrom([]protocol.ObjectType{
			protocol.SymmetricKey, protocol.PublicKey, protocol.PrivateKey,
			protocol.Certificate, protocol.Passphrase, protocol.OpaqueData,
		}).Draw(t, "type"),
		Name:    rapid.String().Draw(t, "name"),
		Created: rapid.Int64().Draw(t, "created"),
		ID:      rapid.String().Draw(t, "id"),
		State:   rapid.String().Draw(t, "state"),
	}
	if rapid.Bool().Draw(t, "with value") {
		o.Value = secret.Bytes(rapid.SliceOf(rapid.Byte()).Draw(t, "value"))
	}
	if o.Type.IsKey() {
		o.Algorithm, o.BitLength = rapid.String().Draw(t, "algorithm"), rapid.IntRange(0, 1<<16).Draw(t, "bit_length")
	}
	for _, s := range rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "consumers") {
		o.Consumers = append(o.Consumers, protocol.Consumer{Service: s, ResourceType: s + "t", ResourceID: s + "i"})
	}
	return o
})

func TestObjectsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects.Draw(t, "object")
		want := wire(o)
		out, status := (&stub{object: o}).serve(strings.NewReader(`{"version":1,"op":"get_key","args":{"key_id":"` + keyID + `"}}`))
		require.Equal(t, protocol.OK, status)
		var got struct {
			Result struct {
				Object wireObject `json:"object"`
			} `json:"result"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, want, got.Result.Object)
	})
}

func TestObjectsAreStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := objects.Draw(t, "object")
		if o.Value == nil {
			o.Value = secret.Bytes{}
		}
		w := wire(o)
		text, err := json.Marshal(w)
		require.NoError(t, err)
		out, status, s := serve(`{"version":1,"op":"store_key","args":{"object":` + string(text) + `}}`)
		require.Equal(t, protocol.OK, status, out)
		got := s.args.(*protocol.StoreKey).Object
		o.ID, o.State, o.Created, o.Consumers = "", "", 0, nil
		clear(o.Value) // as Serve has
		require.Equal(t, o, got)
	})
}

func TestTheCheckIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		c := &protocol.Check{
			OK:     rapid.Bool().Draw(t, "ok"),
			Files:  rapid.SliceOf(text).Draw(t, "files"),
			Config: rapid.MapOf(text, rapid.Ptr(text, true)).Draw(t, "config"),
			Steps: rapid.SliceOf(rapid.Custom(func(t *rapid.T) protocol.Step {
				return protocol.Step{
					Step: text.Draw(t, "step"), OK: rapid.Bool().Draw(t, "ok"),
					Detail: text.Draw(t, "detail"), Advice: text.Draw(t, "advice"),
				}
			})).Draw(t, "steps"),
		}
		out, _ := (&stub{check: c}).serve(strings.NewReader(`{"version":1,"op":"check"}`))
		var got struct {
			Result map[string]any `json:"result"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		steps := []any{}
		for _, s := range c.Steps {
			steps = append(steps, map[string]any{"step": s.Step, "ok": s.OK, "detail": orNull(s.Detail), "advice": orNull(s.Advice)})
		}
		files, config := []any{}, map[string]any{}
		for _, f := range c.Files {
			files = append(files, f)
		}
		for option, value := range c.Config {
			config[option] = nil
			if value != nil {
				config[option] = *value
			}
		}
		require.Equal(t, map[string]any{"ok": c.OK, "files": files, "config": config, "steps": steps}, got.Result)
	})
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func TestUUID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		u := protocol.NewUUID()
		require.True(t, protocol.IsUUID(u), u)
		require.Equal(t, byte('4'), u[14], u)
		require.Contains(t, "89ab", u[19:20], u)
		require.False(t, seen[u])
		seen[u] = true
	}
	for _, s := range []string{
		"", "923", strings.ToUpper(keyID), strings.ReplaceAll(keyID, "-", ""), "{" + keyID + "}", keyID + "\n",
		strings.Replace(keyID, "-", "0", 1), strings.Replace(keyID, "6", "-", 1), strings.Replace(keyID, "6", "g", 1), strings.Repeat("é", 18),
	} {
		require.False(t, protocol.IsUUID(s), s)
	}
}
