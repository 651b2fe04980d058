package ttlv

import (
	"encoding/binary"
	"fmt"
)

// MaxDepth is how deep structures may nest. The deepest message of KMIP 2.1 needs less than half of it.
const MaxDepth = 24

// Check proves that msg is exactly one well-formed item: every length lies inside the item around it and fits its
// type, all padding is zero, every type is known, booleans are 0 or 1, structures nest no deeper than [MaxDepth], and
// nothing follows. The error is an [*Error].
func Check(msg []byte) error {
	end, err := checkItem(msg, 0, 1)
	if err == nil && end != len(msg) {
		err = header(msg).fault(end, "%d bytes after the message", len(msg)-end)
	}
	return err
}

// checkItem checks the item at offset pos of b, which ends where its parent does, and returns where the item ends.
func checkItem(b []byte, pos, depth int) (int, error) {
	if len(b)-pos < headerSize {
		return 0, &Error{Offset: pos, Reason: fmt.Sprintf("%d bytes where an item should start", len(b)-pos)}
	}
	h := header(b[pos:])
	start, length := pos+headerSize, h.length()
	if uint(length) > uint(len(b)-start) || padded(length) > len(b)-start { // unsigned: an int may have 32 bits
		return 0, h.fault(pos, "length %d with %d bytes left", length, len(b)-start)
	}
	next := start + padded(length)
	if reason := checkValue(h.typ(), b[start:start+length], b[start+length:next]); reason != "" {
		return 0, h.fault(pos, "%s", reason)
	}
	if h.typ() != TypeStructure {
		return next, nil
	}
	if depth > MaxDepth {
		return 0, h.fault(pos, "structures nested deeper than %d", MaxDepth)
	}
	return next, checkItems(b[:next], start, depth+1)
}

// checkItems checks the items from offset pos of b to its end.
func checkItems(b []byte, pos, depth int) (err error) {
	for pos < len(b) && err == nil {
		pos, err = checkItem(b, pos, depth)
	}
	return err
}

// checkValue says what is wrong with one value and its padding, in words, or nothing.
func checkValue(t Type, value, padding []byte) string {
	if t < TypeStructure || t > TypeDateTimeExtended {
		return "unknown " + t.String()
	}
	if n := t.fixed(); n != 0 && len(value) != n {
		return fmt.Sprintf("%v of %d bytes, not %d", t, len(value), n)
	}
	switch t {
	case TypeStructure, TypeBigInteger:
		if len(value)%8 != 0 || (t == TypeBigInteger && len(value) == 0) {
			return fmt.Sprintf("%v of %d bytes, not a multiple of 8", t, len(value))
		}
	case TypeBoolean:
		if binary.BigEndian.Uint64(value) > 1 {
			return "Boolean that is neither 0 nor 1"
		}
	}
	for _, p := range padding {
		if p != 0 {
			return "padding that is not zero"
		}
	}
	return ""
}

// header reads an item's first eight bytes.
type header []byte

func (h header) tag() Tag    { return Tag(binary.BigEndian.Uint32(h) >> 8) }
func (h header) typ() Type   { return Type(h[3]) }
func (h header) length() int { return int(binary.BigEndian.Uint32(h[4:])) }

func (h header) fault(offset int, format string, args ...any) error {
	return &Error{Tag: h.tag(), Offset: offset, Reason: fmt.Sprintf(format, args...)}
}
