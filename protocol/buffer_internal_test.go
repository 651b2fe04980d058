package protocol

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/internal/secret"
)

func TestTextIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }),
		).Draw(t, "text"))
		var b buffer
		b.text(s)
		require.NotContains(t, string(b), "\n")
		var got string
		require.NoError(t, json.Unmarshal(b, &got))
		require.Equal(t, string([]rune(s)), got) // as Go reads bytes that are no UTF-8
	})
}

func TestTextEscapesWhatBreaksLines(t *testing.T) {
	var b buffer
	b.text("\x00\t\n\r\x7f\u0085\u2028\u2029 <&> é \"\\")
	require.Equal(t, `"\u0000\u0009\u000a\u000d\u007f\u0085\u2028\u2029 <&> é \"\\"`, string(b))
}

func TestBufferLeavesNothingBehind(t *testing.T) {
	var b buffer
	var before [][]byte
	for range 1000 {
		b.hex([]byte("secret"))
		if n := len(before); n == 0 || &before[n-1][0] != &b[0] {
			before = append(before, b)
		}
	}
	require.Greater(t, len(before), 3)
	b.wipe()
	require.Empty(t, b)
	for _, old := range before {
		require.Equal(t, make([]byte, len(old)), old)
	}
}

// TestBufferMovesByItself: whatever the room that is left, append would move a key and leave it behind.
func TestBufferMovesByItself(t *testing.T) {
	for name, write := range map[string]func(*buffer){
		"raw": func(b *buffer) { b.raw("key") }, "bytes": func(b *buffer) { b.bytes([]byte("key")) },
		"hex": func(b *buffer) { b.hex([]byte("key")) }, "text": func(b *buffer) { b.text("key") },
	} {
		moved := 0
		for room := range 10 {
			before := append(make(buffer, 0, 6+room), "secret"...)
			b := before
			if write(&b); &b[0] != &before[0] {
				require.Equal(t, make([]byte, 6), []byte(before), "%s with room for %d", name, room)
				moved++
			}
			require.Equal(t, "secret", string(b[:6]))
		}
		require.NotZero(t, moved)
	}
}

func TestRequestsLeaveNothingBehind(t *testing.T) {
	r := newRequests(strings.NewReader(`{"a":"secret"}{"b":"sec`))
	text, err := r.next()
	require.NoError(t, err)
	require.Equal(t, `{"a":"secret"}`, string(text))
	all, err := r.in.Peek(r.in.Buffered())
	require.NoError(t, err)
	r.wipe()
	require.Equal(t, make([]byte, len(text)), text)
	require.Equal(t, make([]byte, len(all)), all)
}

// A value that is there twice is overwritten when it gives way: nobody else would. One that gives way to nothing, since the
// other is refused, stays where it is overwritten in the end.
func TestValuesThereTwiceLeaveNothingBehind(t *testing.T) {
	var value secret.Bytes
	read := func(text string) error {
		d := decoder{text: []byte(text)}
		d.hex(&value)
		return d.typeErr
	}
	require.NoError(t, read(`"c0ffee"`))
	first := value
	require.Error(t, read(`"c0ffe"`))
	require.Error(t, read(`"c0ffxx"`))
	require.Error(t, read(`7`))
	require.NoError(t, read(`null`))
	require.Equal(t, []byte{0xc0, 0xff, 0xee}, []byte(value))
	require.NoError(t, read(`"aabb"`))
	require.Equal(t, make([]byte, 3), []byte(first))
	require.Equal(t, []byte{0xaa, 0xbb}, []byte(value))
}

func TestObjectsThereTwiceLeaveNothingBehind(t *testing.T) {
	var args StoreKey
	require.NoError(t, decodeArgs([]byte(`{"object":{"type":"opaque","value":"c0ffee"}}`), &args))
	first := args.Object.Value
	require.Error(t, decodeArgs([]byte(`{"object":7}`), &args))
	require.Equal(t, []byte{0xc0, 0xff, 0xee}, []byte(args.Object.Value))
	require.NoError(t, decodeArgs([]byte(`{"object":{"type":"opaque","value":"aabb"}}`), &args))
	require.Equal(t, make([]byte, 3), []byte(first))
	second := args.Object.Value
	require.Equal(t, []byte{0xaa, 0xbb}, []byte(second))
	wipe(&args)
	require.Equal(t, make([]byte, 2), []byte(second))
}
