package ttlv_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/ttlv"
)

const limit = 1 << 20

// message is a structure whose one field is a Byte String of n bytes.
func message(n int) []byte {
	var c ttlv.Coder
	msg, _ := c.Append(nil, tag, func(c *ttlv.Coder) { v := bytes.Repeat([]byte{0xA5}, n); c.Bytes(other, &v) })
	return msg
}

func TestReadMessage(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "by halves": iotest.HalfReader,
		"with its end": iotest.DataErrReader,
	}
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 500, 4096, 5000, 100_000} {
				first, second := message(size), message(3)
				r := reader(bytes.NewReader(append(bytes.Clone(first), second...)))
				for _, want := range [][]byte{first, second} {
					got, err := ttlv.ReadMessage(r, tag, limit)
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
				_, err := ttlv.ReadMessage(r, tag, limit)
				require.Equal(t, io.EOF, err)
			}
		})
	}
}

func TestReadMessageEnds(t *testing.T) {
	msg := message(5000)
	for n := range msg {
		_, err := ttlv.ReadMessage(bytes.NewReader(msg[:n]), tag, limit)
		if n == 0 {
			require.Equal(t, io.EOF, err)
		} else {
			require.Equal(t, io.ErrUnexpectedEOF, err, "cut at %d", n)
		}
	}
	broken := errors.New("broken")
	_, err := ttlv.ReadMessage(io.MultiReader(bytes.NewReader(msg[:100]), iotest.ErrReader(broken)), tag, limit)
	require.Equal(t, broken, err)
}

func TestReadMessageRefuses(t *testing.T) {
	for _, tt := range []struct{ name, hex, err string }{
		{"another tag", "420004 01 00000008", "ttlv: Application Specific Information at offset 0: a message should start with Compromise Date"},
		{"text", hexOf("HTTP/1.1"), "ttlv: tag 0x485454 at offset 0: a message should start with Compromise Date"},
		{"no structure", "420020 02 00000008", "ttlv: Compromise Date at offset 0: type Integer, not Structure"},
		{"odd length", "420020 01 00000009", "ttlv: Compromise Date at offset 0: length 9 is not a multiple of 8"},
		{"over the limit", "420020 01 00100000", "ttlv: Compromise Date at offset 0: length 1048576 is over the limit of 1048576 bytes"},
		{"4 GiB", "420020 01 FFFFFFF8", "ttlv: Compromise Date at offset 0: length 4294967288 is over the limit of 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ttlv.ReadMessage(bytes.NewReader(unhex(t, tt.hex)), tag, limit)
			var bad *ttlv.Error
			require.ErrorAs(t, err, &bad)
			require.EqualError(t, err, tt.err)
		})
	}
	exact := message(limit - 16)
	_, err := ttlv.ReadMessage(bytes.NewReader(exact), tag, len(exact))
	require.NoError(t, err, "the limit itself")
	_, err = ttlv.ReadMessage(bytes.NewReader(exact), tag, len(exact)-8)
	require.Error(t, err)
}

// A length is not believed before its bytes are there: one of 4 GiB under no limit costs what arrived.
func TestReadMessageAllocatesWhatArrives(t *testing.T) {
	header := binary.BigEndian.AppendUint64(nil, uint64(tag)<<40|uint64(ttlv.TypeStructure)<<32|0xFFFFFFF8)
	for _, arrived := range []int{0, 1000, 100_000} {
		stream := append(bytes.Clone(header), make([]byte, arrived)...)
		used := allocated(func() {
			_, err := ttlv.ReadMessage(bytes.NewReader(stream), tag, math.MaxInt)
			require.Error(t, err)
		})
		require.Less(t, used, uint64(16_000+8*arrived), "%d bytes arrived", arrived)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func FuzzReadMessage(f *testing.F) {
	f.Add(message(0))
	f.Add(message(5000))
	f.Add(message(10)[:20])
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, err := ttlv.ReadMessage(iotest.HalfReader(bytes.NewReader(stream)), tag, limit)
		if err == nil {
			require.Equal(t, stream[:len(got)], got)
			require.LessOrEqual(t, len(got), limit)
		}
	})
}
