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
	end := len(msg)
	if len(msg) >= headerSize {
		h := header(binary.BigEndian.Uint64(msg))
		if size := headerSize + padded(h.length()); size > 0 && size < end {
			end = size
		}
	}
	if end == 0 {
		return &Error{Reason: "0 bytes where an item should start"}
	}
	if err := checkItems(msg, 0, end, 0); err != nil {
		return err
	}
	if end != len(msg) {
		return fault(msg, 0, end, "%d bytes after the message", len(msg)-end)
	}
	return nil
}

// checkItems checks the items of b from offset pos to end, side by side at that depth of structures.
func checkItems(b []byte, pos, end, depth int) error {
	for pos < end {
		if end-pos < headerSize {
			return &Error{Offset: pos, Reason: fmt.Sprintf("%d bytes where an item should start", end-pos)}
		}
		h := header(binary.BigEndian.Uint64(b[pos:]))
		length, at := h.length(), pos+headerSize
		if uint(length) > uint(end-at) || padded(length) > end-at { // unsigned: an int may have 32 bits
			return fault(b, pos, pos, "length %d with %d bytes left", uint32(h), end-at)
		}
		next := at + padded(length)
		if !h.typ().takes(length) {
			return fault(b, pos, pos, "%s", h.typ().refuse(length))
		}
		if used := length % 8; used != 0 && binary.BigEndian.Uint64(b[next-8:])<<(8*used) != 0 {
			return fault(b, pos, pos, "padding that is not zero")
		}
		switch h.typ() {
		case TypeBoolean:
			if binary.BigEndian.Uint64(b[at:]) > 1 {
				return fault(b, pos, pos, "Boolean that is neither 0 nor 1")
			}
		case TypeStructure:
			if depth == MaxDepth {
				return fault(b, pos, pos, "structures nested deeper than %d", MaxDepth)
			}
			if err := checkItems(b, at, next, depth+1); err != nil {
				return err
			}
		}
		pos = next
	}
	return nil
}

// fault is what is wrong at an offset with the item that starts at pos.
func fault(b []byte, pos, offset int, format string, args ...any) error {
	return &Error{Tag: header(binary.BigEndian.Uint64(b[pos:])).tag(), Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// header is an item's first eight bytes: Tag, Type and Length.
type header uint64

func head(tag Tag, typ Type, length int) header {
	return header(tag)<<40 | header(typ)<<32 | header(uint32(length))
}

func (h header) tag() Tag    { return Tag(h >> 40) }
func (h header) typ() Type   { return Type(h >> 32) }
func (h header) length() int { return int(uint32(h)) }
