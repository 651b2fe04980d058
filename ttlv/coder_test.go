package ttlv_test

import (
	"encoding/binary"
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
		require.Error(t, c.Err())
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
