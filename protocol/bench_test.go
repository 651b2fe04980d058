package protocol_test

import (
	"context"
	"io"
	"testing"

	"kmip-keymgr/protocol"
)

// repeated is a caller that sends the same request so many times, each once the one before is answered.
type repeated struct {
	request []byte
	left    int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return copy(p, r.request), nil
}

// found is a key manager that costs nothing.
type found struct {
	stub
	key *protocol.Object
}

func (f *found) GetKey(context.Context, *protocol.Context, *protocol.GetKey) (*protocol.Object, error) {
	return f.key, nil
}

// BenchmarkServeGet is what the protocol adds to a get_key: the context of a Nova service and none.
func BenchmarkServeGet(b *testing.B) {
	all := examples(b, "examples.jsonl")
	for _, name := range []string{"get_key", "get_key in upper case"} {
		for _, e := range all {
			if e.Name != name {
				continue
			}
			b.Run(map[bool]string{true: "context", false: "none"}[name == "get_key"], func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(e.Request)))
				km := &found{key: volumeKey()}
				protocol.Serve(context.Background(), &repeated{e.Request, b.N}, io.Discard, km)
			})
		}
	}
}
