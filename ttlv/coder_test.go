package ttlv_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"kmip-keymgr/ttlv"
)

// ints are Integers side by side, each with its tag.
func ints(pairs ...int32) []byte {
	return write(func(c *ttlv.Coder) {
		for i := 0; i < len(pairs); i += 2 {
			c.Int(ttlv.Tag(pairs[i]), &pairs[i+1])
		}
	})
}

// record is what the tests below read: a required field, an optional one, a list, a structure.
type record struct {
	A, B int32
	List []int32
	Pair pair
}

const (
	tagA, tagB, tagList, tagPair = 1, 2, 3, 4
	unknown                      = 9
)

func (r *record) fields(c *ttlv.Coder) {
	c.Int(tagA, &r.A)
	ttlv.Optional(c, tagB, &r.B, (*ttlv.Coder).Int)
	ttlv.List(c, tagList, &r.List, (*ttlv.Coder).Int)
}

func TestReading(t *testing.T) {
	for _, tt := range []struct {
		name    string
		items   []byte
		want    record
		err     string // lenient and strict
		strictE string // strict alone
	}{
		{name: "all", items: ints(tagA, 1, tagB, 2, tagList, 3, tagList, 4), want: record{A: 1, B: 2, List: []int32{3, 4}}},
		{name: "required alone", items: ints(tagA, 1), want: record{A: 1}},
		{name: "list without the optional", items: ints(tagA, 1, tagList, 3), want: record{A: 1, List: []int32{3}}},
		{name: "empty", items: nil, err: "ttlv: tag 0x000001 at offset 0: missing"},
		{name: "required missing", items: ints(tagB, 2), err: "ttlv: tag 0x000001 at offset 0: missing"},
		{name: "there twice", items: ints(tagA, 1, tagA, 2), err: "ttlv: tag 0x000001 at offset 16: more than one"},
		{name: "optional twice", items: ints(tagA, 1, tagB, 2, tagB, 2), err: "ttlv: tag 0x000002 at offset 32: more than one"},
		{name: "there again, later", items: ints(tagA, 1, tagB, 2, tagA, 2), err: "ttlv: tag 0x000001 at offset 32: more than one"},
		{
			name: "there again, behind something unknown", items: ints(tagA, 1, unknown, 2, tagA, 2),
			err: "ttlv: tag 0x000001 at offset 32: more than one", strictE: "ttlv: tag 0x000009 at offset 16: unexpected field",
		},
		{
			name: "unknown first", items: ints(unknown, 0, tagA, 1), want: record{A: 1},
			strictE: "ttlv: tag 0x000009 at offset 0: unexpected field",
		},
		{
			name: "unknown between", items: ints(tagA, 1, unknown, 0, tagB, 2), want: record{A: 1, B: 2},
			strictE: "ttlv: tag 0x000009 at offset 16: unexpected field",
		},
		{
			name: "unknown last", items: ints(tagA, 1, unknown, 0, unknown, 0), want: record{A: 1},
			strictE: "ttlv: tag 0x000009 at offset 16: unexpected field",
		},
		{
			name: "optional out of order", items: ints(tagB, 2, tagA, 1),
			err: "ttlv: tag 0x000002 at offset 32: out of order", strictE: "ttlv: tag 0x000002 at offset 0: unexpected field",
		},
		{
			name: "list in two parts", items: ints(tagA, 1, tagList, 3, unknown, 0, tagList, 4),
			err: "ttlv: tag 0x000003 at offset 48: more than one", strictE: "ttlv: tag 0x000009 at offset 32: unexpected field",
		},
		{name: "of another type", items: write(func(c *ttlv.Coder) { v := true; c.Bool(tagA, &v) }), err: "ttlv: tag 0x000001 at offset 0: type Boolean, not Integer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r record
			requireResult(t, read(tt.items, r.fields), tt.err)
			if tt.err == "" {
				require.Equal(t, tt.want, r)
			}
			if tt.strictE == "" {
				tt.strictE = tt.err
			}
			requireResult(t, read(tt.items, func(c *ttlv.Coder) { c.Strict = true; new(record).fields(c) }), tt.strictE)
		})
	}
}

func requireResult(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
	} else {
		require.EqualError(t, err, want)
	}
}

// What is malformed is found wherever it stands, read or skipped: or else a server's nonsense would be taken for a key.
func TestReadingFindsWhatIsMalformed(t *testing.T) {
	const padding = "padding that is not zero"
	nothing := func(*ttlv.Coder) {}
	for _, tt := range []struct {
		name, hex string
		field     func(*ttlv.Coder)
		err       string
	}{
		{"text", "420020 07 00000001 4100000000000001", func(c *ttlv.Coder) { c.Text(tag, new(string)) }, padding},
		{"text not copied", "420020 07 00000007 4142434445464701", func(c *ttlv.Coder) { c.TextBytes(tag, new([]byte)) }, padding},
		{"bytes", "420020 08 00000003 0102030100000000", func(c *ttlv.Coder) { c.Bytes(tag, new([]byte)) }, padding},
		{"more bytes", "420020 08 00000009 010203040506070809000000000000FF", func(c *ttlv.Coder) { c.Bytes(tag, new([]byte)) }, padding},
		{"Integer", "420020 02 00000004 0000000800000001", func(c *ttlv.Coder) { c.Int(tag, new(int32)) }, padding},
		{"short Integer", "420020 02 00000003 0000000000000000", func(c *ttlv.Coder) { c.Int(tag, new(int32)) }, "Integer of 3 bytes, not 4"},
		{"Boolean", "420020 06 00000008 0000000000000002", func(c *ttlv.Coder) { c.Bool(tag, new(bool)) }, "Boolean that is neither 0 nor 1"},
	} {
		item := unhex(t, tt.hex)
		inside := write(func(c *ttlv.Coder) { c.Value(other, &ttlv.Value{Type: ttlv.TypeStructure, Data: item}) })
		for _, place := range []struct {
			name   string
			items  []byte
			fields func(*ttlv.Coder)
			offset int
		}{
			{"read", item, tt.field, 0},
			{"read as a value", item, func(c *ttlv.Coder) { c.Value(tag, new(ttlv.Value)) }, 0},
			{"read behind something unknown", append(ints(unknown, 0), item...), tt.field, 16},
			{"skipped", item, nothing, 0},
			{"read in a structure", inside, func(c *ttlv.Coder) { c.Struct(other, tt.field) }, 8},
			{"skipped in a structure", inside, func(c *ttlv.Coder) { c.Struct(other, nothing) }, 8},
			{"in a structure read as a value", inside, func(c *ttlv.Coder) { c.Value(other, new(ttlv.Value)) }, 8},
			{"in a structure that is skipped", inside, nothing, 8},
		} {
			t.Run(tt.name+" "+place.name, func(t *testing.T) {
				want := fmt.Sprintf("ttlv: Compromise Date at offset %d: %s", place.offset, tt.err)
				require.EqualError(t, read(place.items, place.fields), want)
			})
		}
	}
}

// Structures nest no deeper than MaxDepth, walked or skipped, so that no message uses up the stack. How many stand side by
// side does not matter.
func TestReadingDepth(t *testing.T) {
	var walked func(n int, then func(*ttlv.Coder)) func(*ttlv.Coder)
	walked = func(n int, then func(*ttlv.Coder)) func(*ttlv.Coder) {
		if n == 0 {
			return then
		}
		return func(c *ttlv.Coder) { c.Struct(tag, walked(n-1, then)) }
	}
	nothing := func(*ttlv.Coder) {}
	value := func(c *ttlv.Coder) { c.Value(tag, new(ttlv.Value)) }
	for _, before := range [][]byte{nil, ints(unknown, 0)} {
		read := func(n int, fields func(*ttlv.Coder)) error {
			return read(append(before[:len(before):len(before)], nested(n)...), fields)
		}
		for name, fields := range map[string]func(n int) func(*ttlv.Coder){
			"walked":             func(n int) func(*ttlv.Coder) { return walked(n, nothing) },
			"skipped":            func(int) func(*ttlv.Coder) { return nothing },
			"skipped halfway":    func(int) func(*ttlv.Coder) { return walked(ttlv.MaxDepth/2, nothing) },
			"skipped at the end": func(int) func(*ttlv.Coder) { return walked(ttlv.MaxDepth, nothing) },
			"a value":            func(int) func(*ttlv.Coder) { return value },
			"a value halfway":    func(int) func(*ttlv.Coder) { return walked(ttlv.MaxDepth/2, value) },
		} {
			require.NoError(t, read(ttlv.MaxDepth, fields(ttlv.MaxDepth)), name)
			want := fmt.Sprintf("ttlv: Compromise Date at offset %d: structures nested deeper than 24", len(before)+8*ttlv.MaxDepth)
			require.EqualError(t, read(ttlv.MaxDepth+1, fields(ttlv.MaxDepth+1)), want, name)
		}
	}
	for _, before := range [][]byte{nil, ints(unknown, 0)} {
		items := append(before[:len(before):len(before)], bytes.Repeat(nested(2), 2*ttlv.MaxDepth)...)
		require.NoError(t, read(items, func(c *ttlv.Coder) {
			for range 2 * ttlv.MaxDepth {
				walked(2, nothing)(c)
			}
		}))
	}
}

// What is skipped or read in a structure says nothing about the one around it.
func TestStructuresAreApart(t *testing.T) {
	var c ttlv.Coder
	inner := func(c *ttlv.Coder) { var r record; r.fields(c) }
	msg, err := c.Append(nil, tag, func(c *ttlv.Coder) {
		for range 2 {
			c.Struct(tagPair, func(c *ttlv.Coder) { r := record{A: 1, B: 2}; r.fields(c) })
		}
		r := record{A: 1, B: 2}
		r.fields(c)
	})
	require.NoError(t, err)
	c.Strict = true
	require.NoError(t, c.Decode(msg, tag, func(c *ttlv.Coder) {
		c.Struct(tagPair, inner)
		c.Struct(tagPair, inner)
		inner(c)
	}))
	require.EqualError(t, c.Decode(msg, other, inner), "ttlv: Application Specific Information at offset 0: missing")
	require.EqualError(t, c.Decode(msg[:8], tag, inner), "ttlv: Compromise Date at offset 0: length 112 with 0 bytes left")
}

// The first error ends the walk, and names the place.
func TestFirstErrorStays(t *testing.T) {
	err := read(ints(tagA, 1, tagB, 2), func(c *ttlv.Coder) {
		c.Int(tagA, new(int32))
		c.Fail(tagA, "no %d", 1)
		c.Fail(tagB, "no %d", 2)
		v := int32(77)
		c.Int(tagB, &v)
		require.EqualValues(t, 77, v)
		require.False(t, c.Present(tagB, true))
		_, more := c.Next()
		require.False(t, more)
	})
	require.EqualError(t, err, "ttlv: tag 0x000001 at offset 16: no 1")
}

func TestWritingAndReadingAreToldApart(t *testing.T) {
	write(func(c *ttlv.Coder) {
		_, more := c.Next()
		require.False(t, c.Reading() || more || c.Present(tag, false))
		require.True(t, c.Present(tag, true))
		require.Zero(t, c.TypeOf(tag))
	})
	require.NoError(t, read(ints(tagA, 1), func(c *ttlv.Coder) {
		next, more := c.Next()
		require.True(t, c.Reading() && more && c.Present(tagA, false))
		require.EqualValues(t, tagA, next)
		require.Equal(t, ttlv.TypeInteger, c.TypeOf(tagA))
		require.Zero(t, c.TypeOf(tagB))
		require.ErrorContains(t, read(nil, func(c *ttlv.Coder) { c.Value(tagA, new(ttlv.Value)) }), "missing")
	}))
}

// Byte Strings alias the message and cannot be appended into it.
func TestBytesAlias(t *testing.T) {
	msg := write(func(c *ttlv.Coder) { v := []byte("key"); c.Bytes(tag, &v) })
	var got []byte
	require.NoError(t, read(msg, func(c *ttlv.Coder) { c.Bytes(tag, &got) }))
	_ = append(got, '!')
	require.NoError(t, ttlv.Check(msg))
	clear(msg)
	require.Equal(t, []byte{0, 0, 0}, got)
}

// A message of many unknown fields takes time in proportion to its size, which bounding their variety sees to: these
// would take minutes otherwise.
func TestManyFieldsAreSkippedInPassing(t *testing.T) {
	unknown := func(kinds uint64) []byte {
		msg := ints(tagA, 1)
		for i := range uint64(1 << 18) {
			msg = binary.BigEndian.AppendUint64(msg, (0x540000+i%kinds)<<40|uint64(ttlv.TypeTextString)<<32)
		}
		return msg
	}
	var r record
	require.NoError(t, read(unknown(64), r.fields))
	require.ErrorContains(t, read(unknown(65), r.fields), "too many unknown fields")
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	var c ttlv.Coder
	out, err := c.Append([]byte("before"), tag, func(c *ttlv.Coder) { v := int32(8); c.Int(other, &v) })
	require.NoError(t, err)
	require.Equal(t, "before", string(out[:6]))
	require.NoError(t, ttlv.Check(out[6:]))
}
