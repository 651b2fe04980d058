// Package ttlv is the binary encoding of KMIP: items of Tag, Type, Length and Value (KMIP 1.4 section 9.1,
// KMIP 2.1 section 10.1).
//
// One walk serves both directions. A message type describes itself in one function over a [Coder], and the coder writes
// or reads as it was asked to, so that what is sent and what is understood cannot drift apart:
//
//	func (n *Name) fields(c *ttlv.Coder) {
//		c.Text(ttlv.TagNameValue, &n.Value)
//		ttlv.Enum(c, ttlv.TagNameType, &n.Type)
//	}
//
// Reading trusts nothing: every length, type, padding byte and depth is checked on the way, also of what is skipped, and
// nothing is allocated on the word of a length field. What a Coder reads whole is what [Check] finds well formed.
//
// Byte Strings and [Value]s that were read alias the message: it belongs to whoever decoded it, and clearing its bytes
// clears them.
package ttlv

import "fmt"

// Type is the type of an item's value.
type Type uint8

// The types of KMIP 1.4 section 9.1.1.2; DateTimeExtended came with 2.0.
const (
	TypeStructure        Type = 0x01
	TypeInteger          Type = 0x02
	TypeLongInteger      Type = 0x03
	TypeBigInteger       Type = 0x04
	TypeEnumeration      Type = 0x05
	TypeBoolean          Type = 0x06
	TypeTextString       Type = 0x07
	TypeByteString       Type = 0x08
	TypeDateTime         Type = 0x09
	TypeInterval         Type = 0x0A
	TypeDateTimeExtended Type = 0x0B
)

var typeNames = [...]string{
	TypeStructure: "Structure", TypeInteger: "Integer", TypeLongInteger: "Long Integer", TypeBigInteger: "Big Integer",
	TypeEnumeration: "Enumeration", TypeBoolean: "Boolean", TypeTextString: "Text String", TypeByteString: "Byte String",
	TypeDateTime: "Date-Time", TypeInterval: "Interval", TypeDateTimeExtended: "Date-Time Extended",
}

// String is the type's name in the specification, or its number where it has none.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type 0x%02X", uint8(t))
}

// lengths are those that a value of each type may have (section 9.1.1.3): the bits under mask are want.
var lengths = [...]struct{ mask, want uint32 }{
	0:                    {0, 1}, // no type, and so no length
	TypeStructure:        {7, 0},
	TypeInteger:          {^uint32(0), 4},
	TypeLongInteger:      {^uint32(0), 8},
	TypeBigInteger:       {7, 0},
	TypeEnumeration:      {^uint32(0), 4},
	TypeBoolean:          {^uint32(0), 8},
	TypeTextString:       {0, 0},
	TypeByteString:       {0, 0},
	TypeDateTime:         {^uint32(0), 8},
	TypeInterval:         {^uint32(0), 4},
	TypeDateTimeExtended: {^uint32(0), 8},
}

// takes reports whether a value of the type may have that length.
func (t Type) takes(length int) bool {
	if int(t) >= len(lengths) || length == 0 && t == TypeBigInteger {
		return false
	}
	l := &lengths[t]
	return uint32(length)&l.mask == l.want
}

// refuse says in words why a value of the type cannot have that length.
func (t Type) refuse(length int) string {
	want := "a multiple of 8"
	switch {
	case t.takes(4):
		want = "4"
	case t.takes(8) && !t.takes(16):
		want = "8"
	case !t.takes(8):
		return "unknown " + t.String()
	}
	return fmt.Sprintf("%v of %d bytes, not %s", t, length, want)
}

// Error says what is wrong with an item, which one, and where in the message it stands.
type Error struct {
	Tag    Tag // 0 where there is not even a whole header
	Offset int // bytes from the start of the message
	Reason string
}

func (e *Error) Error() string {
	if e.Tag == 0 {
		return fmt.Sprintf("ttlv: offset %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("ttlv: %v at offset %d: %s", e.Tag, e.Offset, e.Reason)
}

// headerSize is Tag (3), Type (1) and Length (4).
const headerSize = 8

// padded is the room a value of n bytes takes: values are padded to a multiple of eight.
func padded(n int) int { return (n + 7) &^ 7 }
