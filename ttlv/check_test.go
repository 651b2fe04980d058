package ttlv_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"kmip-keymgr/ttlv"
)

func TestCheckErrors(t *testing.T) {
	for _, tt := range []struct{ name, hex, err string }{
		{"nothing", "", "ttlv: offset 0: 0 bytes where an item should start"},
		{"half a header", "42 00 20 02", "ttlv: offset 0: 4 bytes where an item should start"},
		{"trailing bytes", "420020 02 00000004 0000000800000000 00", "ttlv: Compromise Date at offset 16: 1 bytes after the message"},
		{"trailing item", "420020 01 00000000 420020 01 00000000", "ttlv: Compromise Date at offset 8: 8 bytes after the message"},
		{"padding", "420020 02 00000004 0000000800000001", "ttlv: Compromise Date at offset 0: padding that is not zero"},
		{"padding of a text", "420020 07 00000001 4100000000000001", "ttlv: Compromise Date at offset 0: padding that is not zero"},
		{"type 0", "420020 00 00000000", "ttlv: Compromise Date at offset 0: unknown type 0x00"},
		{"type 12", "420020 0C 00000000", "ttlv: Compromise Date at offset 0: unknown type 0x0C"},
		{"short Integer", "420020 02 00000003 0000000000000000", "ttlv: Compromise Date at offset 0: Integer of 3 bytes, not 4"},
		{"long Integer", "420020 02 00000008 0000000000000000", "ttlv: Compromise Date at offset 0: Integer of 8 bytes, not 4"},
		{"short Long Integer", "420020 03 00000004 0000000000000000", "ttlv: Compromise Date at offset 0: Long Integer of 4 bytes, not 8"},
		{"empty Enumeration", "420020 05 00000000", "ttlv: Compromise Date at offset 0: Enumeration of 0 bytes, not 4"},
		{"short Boolean", "420020 06 00000001 0100000000000000", "ttlv: Compromise Date at offset 0: Boolean of 1 bytes, not 8"},
		{"Boolean 2", "420020 06 00000008 0000000000000002", "ttlv: Compromise Date at offset 0: Boolean that is neither 0 nor 1"},
		{"Boolean -1", "420020 06 00000008 FFFFFFFFFFFFFFFF", "ttlv: Compromise Date at offset 0: Boolean that is neither 0 nor 1"},
		{"short Date-Time", "420020 09 00000004 0000000000000000", "ttlv: Compromise Date at offset 0: Date-Time of 4 bytes, not 8"},
		{"long Interval", "420020 0A 00000008 0000000000000000", "ttlv: Compromise Date at offset 0: Interval of 8 bytes, not 4"},
		{"short Date-Time Extended", "420020 0B 00000004 0000000000000000", "ttlv: Compromise Date at offset 0: Date-Time Extended of 4 bytes, not 8"},
		{"empty Big Integer", "420020 04 00000000", "ttlv: Compromise Date at offset 0: Big Integer of 0 bytes, not a multiple of 8"},
		{"odd Big Integer", "420020 04 00000004 0000000000000000", "ttlv: Compromise Date at offset 0: Big Integer of 4 bytes, not a multiple of 8"},
		{"odd Structure", "420020 01 00000004 0000000000000000", "ttlv: Compromise Date at offset 0: Structure of 4 bytes, not a multiple of 8"},
		{"length beyond the message", "420020 08 00000009 0000000000000000", "ttlv: Compromise Date at offset 0: length 9 with 8 bytes left"},
		{"padding beyond the message", "420020 08 00000003 010203", "ttlv: Compromise Date at offset 0: length 3 with 3 bytes left"},
		{"a length of 4 GiB", "420020 08 FFFFFFFF 0000000000000000", "ttlv: Compromise Date at offset 0: length 4294967295 with 8 bytes left"},
		{
			"an item that leaves its structure", "420020 01 00000010 420004 02 00000004 0000000100000000 420005 08 00000000",
			"ttlv: Compromise Date at offset 24: 8 bytes after the message",
		},
		{
			"a length beyond the structure", "420020 01 00000018 420004 01 00000008 420005 08 00000008 0000000000000000",
			"ttlv: Archive Date at offset 16: length 8 with 0 bytes left",
		},
		{
			"the second of two fields", "420020 01 00000020 420004 02 00000004 0000000100000000 420005 02 00000005 0000000100000000",
			"ttlv: Archive Date at offset 24: Integer of 5 bytes, not 4",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := ttlv.Check(unhex(t, tt.hex))
			var bad *ttlv.Error
			require.ErrorAs(t, err, &bad)
			require.EqualError(t, err, tt.err)
		})
	}
}

// nested is n structures, one inside the other.
func nested(n int) []byte {
	var b []byte
	for i := n; i > 0; i-- {
		b = binary.BigEndian.AppendUint64(b, uint64(tag)<<40|uint64(ttlv.TypeStructure)<<32|uint64(8*(i-1)))
	}
	return b
}

func TestCheckDepth(t *testing.T) {
	require.NoError(t, ttlv.Check(nested(ttlv.MaxDepth)))
	require.NoError(t, read(nested(ttlv.MaxDepth), func(c *ttlv.Coder) { c.Value(tag, new(ttlv.Value)) }), "a value may be as deep as a message")
	require.EqualError(t, ttlv.Check(nested(ttlv.MaxDepth+1)), "ttlv: Compromise Date at offset 192: structures nested deeper than 24")
	require.Error(t, ttlv.Check(nested(100_000)), "nor is the stack used up")
}

func TestCheckEveryTruncation(t *testing.T) {
	for _, e := range examples() {
		msg := unhex(t, e.hex)
		for n := range msg {
			var bad *ttlv.Error
			require.ErrorAs(t, ttlv.Check(msg[:n]), &bad, "%s cut at %d", e.name, n)
			require.LessOrEqual(t, bad.Offset, n)
		}
	}
}

// node is an item of any shape.
type node struct {
	tag   ttlv.Tag
	value ttlv.Value
	inner []node // of a structure
}

func (n *node) fields(c *ttlv.Coder) {
	if n.inner == nil && n.value.Type != ttlv.TypeStructure {
		c.Value(n.tag, &n.value)
		return
	}
	c.Struct(n.tag, func(c *ttlv.Coder) {
		for i := range n.inner {
			n.inner[i].fields(c)
		}
		for next, more := c.Next(); more; next, more = c.Next() {
			child := node{tag: next, value: ttlv.Value{Type: c.TypeOf(next)}}
			child.fields(c)
			n.inner = append(n.inner, child)
		}
	})
}

// someNode draws an item, at most depth structures deep.
func someNode(depth int) *rapid.Generator[node] {
	return rapid.Custom(func(t *rapid.T) node {
		n := node{tag: ttlv.Tag(rapid.Uint32Range(0, 0xFFFFFF).Draw(t, "tag"))}
		first := 1
		if depth == 0 {
			first = 2
		}
		n.value.Type = ttlv.Type(rapid.IntRange(first, int(ttlv.TypeDateTimeExtended)).Draw(t, "type"))
		switch n.value.Type {
		case ttlv.TypeStructure:
			n.inner = rapid.SliceOfN(someNode(depth-1), 0, 4).Draw(t, "inner")
		case ttlv.TypeInteger, ttlv.TypeEnumeration, ttlv.TypeInterval:
			n.value.Data = draw(t, 4, 4)
		case ttlv.TypeTextString, ttlv.TypeByteString:
			n.value.Data = draw(t, 0, 20)
		case ttlv.TypeBigInteger:
			n.value.Data = draw(t, 8, 8)
		case ttlv.TypeBoolean:
			n.value.Data = []byte{0, 0, 0, 0, 0, 0, 0, rapid.ByteRange(0, 1).Draw(t, "bool")}
		default:
			n.value.Data = draw(t, 8, 8)
		}
		return n
	})
}

func draw(t *rapid.T, least, most int) []byte {
	return rapid.SliceOfN(rapid.Byte(), least, most).Draw(t, "data")
}

// Any tree of items is well formed when written, and read without knowing its shape it is written again as it was.
func TestAnyTreeComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := node{tag: tag, value: ttlv.Value{Type: ttlv.TypeStructure}}
		root.inner = rapid.SliceOfN(someNode(4), 0, 5).Draw(t, "tree")
		msg := append([]byte{}, write(root.fields)...)
		require.NoError(t, ttlv.Check(msg))
		requireRewritten(t, msg)
	})
}

// requireRewritten reads a well-formed structure as a tree and writes it again.
func requireRewritten(t require.TestingT, msg []byte) {
	again := node{tag: tagOf(msg), value: ttlv.Value{Type: ttlv.TypeStructure}}
	require.NoError(t, read(msg, again.fields))
	require.Equal(t, msg, write(again.fields))
}

func tagOf(msg []byte) ttlv.Tag { return ttlv.Tag(binary.BigEndian.Uint32(msg) >> 8) }

func FuzzCheck(f *testing.F) {
	for _, e := range examples() {
		f.Add(unhex(f, e.hex))
	}
	f.Add(nested(ttlv.MaxDepth + 1))
	f.Fuzz(func(t *testing.T, msg []byte) {
		err := ttlv.Check(msg)
		var bad *ttlv.Error
		if err != nil {
			require.ErrorAs(t, err, &bad)
			require.LessOrEqual(t, bad.Offset, len(msg))
		} else if ttlv.Type(msg[3]) == ttlv.TypeStructure {
			requireRewritten(t, msg)
		}
	})
}
