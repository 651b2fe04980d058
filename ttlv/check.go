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
	if err := alone(msg); err != nil {
		return err
	}
	return checkAll(msg, 0, 0)
}

// alone proves that msg starts an item and that nothing follows it.
func alone(msg []byte) error {
	if len(msg) < headerSize {
		return cut(msg, 0)
	}
	h := header(binary.BigEndian.Uint64(msg))
	if left := uint64(len(msg)); h.size() < left {
		return &Error{Tag: h.tag(), Offset: int(h.size()), Reason: fmt.Sprintf("%d bytes after the message", left-h.size())}
	}
	return nil
}

// checkAll checks items that stand side by side and all that is inside them; depth is that of the structures around them.
// The offset of an error counts from that of the first item.
func checkAll(items []byte, offset, depth int) error {
	for len(items) > 0 {
		h, ok := headerOf(items)
		if !ok {
			return cut(items, offset)
		}
		size := int(h.size())
		if !h.fits(binary.BigEndian.Uint64(items[size-8:])) {
			return h.misfit(offset)
		}
		if h.typ() == TypeStructure {
			if depth == MaxDepth {
				return tooDeep(h.tag(), offset)
			}
			if err := checkAll(items[headerSize:size], offset+headerSize, depth+1); err != nil {
				return err
			}
		}
		items, offset = items[size:], offset+size
	}
	return nil
}

// headerOf is the header of the item that starts items, if the whole item is there.
func headerOf(items []byte) (h header, ok bool) {
	if len(items) >= headerSize {
		h = header(binary.BigEndian.Uint64(items))
		ok = h.size() <= uint64(len(items))
	}
	return h, ok
}

// cut is the error about an item that is not all there.
func cut(items []byte, offset int) error {
	if len(items) < headerSize {
		return &Error{Offset: offset, Reason: fmt.Sprintf("%d bytes where an item should start", len(items))}
	}
	h := header(binary.BigEndian.Uint64(items))
	return &Error{Tag: h.tag(), Offset: offset, Reason: fmt.Sprintf("length %d with %d bytes left", uint32(h), len(items)-headerSize)}
}

// tooDeep is the error about a structure in MaxDepth others.
func tooDeep(tag Tag, offset int) error {
	return &Error{Tag: tag, Offset: offset, Reason: fmt.Sprintf("structures nested deeper than %d", MaxDepth)}
}

// misfit is the error about an item whose value is not one of its type's.
func (h header) misfit(offset int) error {
	reason := "padding that is not zero"
	if typ := h.typ(); !typ.takes(h.length()) {
		reason = typ.refuse(h.length())
	} else if typ == TypeBoolean {
		reason = "Boolean that is neither 0 nor 1"
	}
	return &Error{Tag: h.tag(), Offset: offset, Reason: reason}
}

// header is an item's first eight bytes: Tag, Type and Length.
type header uint64

func head(tag Tag, typ Type, length int) header {
	return header(tag)<<40 | header(typ)<<32 | header(uint32(length))
}

func (h header) tag() Tag                  { return Tag(h >> 40) }
func (h header) typ() Type                 { return Type(h >> 32) }
func (h header) is(tag Tag, typ Type) bool { return uint32(h>>32) == uint32(tag)<<8|uint32(typ) }
func (h header) length() int               { return int(uint32(h)) }

// size is that of the whole item with its padding, which may be more than an int of 32 bits holds.
func (h header) size() uint64 { return headerSize + (uint64(uint32(h))+7)&^7 }

// opens reports whether the item is a structure with that tag whose fields are all in the room, which is that of the whole
// item.
func (h header) opens(tag Tag, room int) bool {
	return h.is(tag, TypeStructure) && h%8 == 0 && uint64(h.length()) <= uint64(room-headerSize)
}

// fits reports whether the value may have that length, and these as its last eight bytes, padding included.
func (h header) fits(last uint64) bool {
	return h.typ().takes(h.length()) && last&(1<<(-h%8*8)-1) == 0 && (last <= 1 || h.typ() != TypeBoolean)
}
