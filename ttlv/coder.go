package ttlv

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"
)

// Coder walks a message in one direction: it writes under [Coder.Append] and reads under [Coder.Decode]. Each method
// names a field by its tag and writes it from, or reads it into, the variable it is given. The zero Coder is ready, and
// may be used again, but by one walk at a time.
//
// Reading goes forward among siblings: a field is looked for behind the one read before it, and what stands between is
// skipped, so that a server may send more than is known here. A field that is absent, of another type, there twice, or
// asked for when it was skipped is an error: nothing known is lost in silence. The first error ends the walk: later
// calls do nothing.
type Coder struct {
	// Version is the protocol version of the message (major << 8 | minor). It belongs to the message types, whose
	// form depends on it; the coder itself does not look at it.
	Version uint16
	// Strict refuses what would otherwise be skipped when reading: unknown fields and fields out of order.
	Strict bool

	buf     []byte
	reading bool
	err     error

	// Reading: the structure at hand, the item that comes next in it, and what was passed over.
	start, end int
	pos        int
	next       header // 0 at the structure's end and after an error
	skipped    []Tag  // of the structures around this place, the one at hand from first on
	first      int
}

// maxSkipped is how many different fields of a structure may be passed over. No version has so many that others have not.
const maxSkipped = 64

// Append writes one structure to the end of buf and returns the longer buffer.
func (c *Coder) Append(buf []byte, tag Tag, fields func(*Coder)) ([]byte, error) {
	c.buf, c.reading, c.err = buf, false, nil
	c.Struct(tag, fields)
	out := c.buf
	c.buf = nil
	return out, c.err
}

// Decode reads msg, which must be one well-formed structure with the given tag (see [Check]). What is read aliases msg.
func (c *Coder) Decode(msg []byte, tag Tag, fields func(*Coder)) error {
	if err := Check(msg); err != nil {
		return err
	}
	return c.decode(msg, func(c *Coder) { c.Struct(tag, fields) })
}

// decode walks items that are already checked.
func (c *Coder) decode(items []byte, fields func(*Coder)) error {
	c.buf, c.reading, c.err, c.skipped = items, true, nil, c.skipped[:0]
	c.start, c.end, c.first = 0, len(items), 0
	c.advance(0)
	fields(c)
	c.leave()
	c.buf = nil
	return c.err
}

// Reading tells the direction of the walk, for the few fields whose form depends on it.
func (c *Coder) Reading() bool { return c.reading }

// Fail ends the walk with an error that names the field and, when reading, where the walk stands.
func (c *Coder) Fail(tag Tag, format string, args ...any) {
	if c.err == nil {
		c.err = &Error{Tag: tag, Offset: c.offset(), Reason: fmt.Sprintf(format, args...)}
		c.next = 0
	}
}

// Err is the first error of the walk so far.
func (c *Coder) Err() error { return c.err }

func (c *Coder) offset() int {
	if c.reading {
		return c.pos
	}
	return len(c.buf)
}

// Struct is a structure, whose fields are walked by fields.
func (c *Coder) Struct(tag Tag, fields func(*Coder)) {
	if !c.reading {
		at := c.open(tag, TypeStructure)
		fields(c)
		c.close(at)
		return
	}
	inside, ok := c.read(tag, TypeStructure)
	if !ok {
		return
	}
	start, end, first := c.start, c.end, c.first
	pos, next := c.pos, c.next
	c.start, c.end, c.first = pos-len(inside), pos, len(c.skipped)
	c.advance(c.start)
	fields(c)
	if c.next != 0 {
		c.leave()
	}
	if c.err == nil {
		c.skipped = c.skipped[:c.first]
		c.start, c.end, c.first = start, end, first
		c.pos, c.next = pos, next
	}
}

// advance moves to the item at pos.
func (c *Coder) advance(pos int) {
	c.pos, c.next = pos, 0
	if pos < c.end {
		c.next = header(binary.BigEndian.Uint64(c.buf[pos:]))
	}
}

// leave looks at what is left unread at the end of a structure.
func (c *Coder) leave() {
	for c.next != 0 {
		c.skip()
	}
}

// Present tells whether an optional field is there: when writing, as the caller says; when reading, as the message says.
func (c *Coder) Present(tag Tag, present bool) bool {
	if !c.reading {
		return present
	}
	return c.find(tag) < c.end
}

// Next is the tag of the next field in the structure being read, false at its end and when writing.
func (c *Coder) Next() (Tag, bool) {
	return c.next.tag(), c.reading && c.next != 0
}

// TypeOf is the type of a field that is about to be read, 0 where it is absent and when writing.
func (c *Coder) TypeOf(tag Tag) Type {
	if !c.reading {
		return 0
	}
	at := c.find(tag)
	if at >= c.end {
		return 0
	}
	return header(binary.BigEndian.Uint64(c.buf[at:])).typ()
}

// find is the offset of the first sibling with that tag from here on, mostly the next one, or the structure's end.
func (c *Coder) find(tag Tag) int {
	if c.next.tag() == tag {
		return c.pos
	}
	at := c.end
	if c.next != 0 {
		at = c.seek(tag, c.pos, c.end)
	}
	if at == c.end && len(c.skipped) > c.first && slices.Contains(c.skipped[c.first:], tag) {
		c.Fail(tag, "out of order")
	}
	return at
}

// seek is the offset of the first item with that tag between two items of a structure, or the end.
func (c *Coder) seek(tag Tag, at, end int) int {
	for at < end {
		h := header(binary.BigEndian.Uint64(c.buf[at:]))
		if h.tag() == tag {
			return at
		}
		at += headerSize + padded(h.length())
	}
	return end
}

// read moves behind the field and returns its value, without padding.
func (c *Coder) read(tag Tag, typ Type) ([]byte, bool) {
	if c.next.tag() != tag && !c.skipTo(tag) {
		return nil, false
	}
	if c.next.typ() != typ {
		c.Fail(tag, "type %v, not %v", c.next.typ(), typ)
		return nil, false
	}
	start, length := c.pos+headerSize, c.next.length()
	c.advance(start + padded(length))
	return c.buf[start : start+length : start+length], true
}

// skipTo passes over the fields before the one with that tag.
func (c *Coder) skipTo(tag Tag) bool {
	at := c.find(tag)
	if at >= c.end {
		c.Fail(tag, "missing")
	}
	for c.pos < at && c.next != 0 {
		c.skip()
	}
	return c.err == nil
}

// skip passes over one field that nobody asked for.
func (c *Coder) skip() {
	tag, passed := c.next.tag(), c.skipped[c.first:]
	known := slices.Contains(passed, tag)
	switch {
	case !known && c.seek(tag, c.start, c.pos) < c.pos:
		c.Fail(tag, "more than one")
	case c.Strict:
		c.Fail(tag, "unexpected field")
	case !known && len(passed) == maxSkipped:
		c.Fail(tag, "too many unknown fields")
	case !known:
		c.skipped = append(c.skipped, tag)
	}
	if c.err == nil {
		c.advance(c.pos + headerSize + padded(c.next.length()))
	}
}

// open writes an item's header with a length that close fills in.
func (c *Coder) open(tag Tag, typ Type) int {
	c.head(tag, typ, 0)
	return len(c.buf)
}

func (c *Coder) close(at int) {
	length := len(c.buf) - at
	binary.BigEndian.PutUint32(c.buf[at-4:], uint32(length))
	c.pad(length)
}

func (c *Coder) pad(length int) {
	var zeros [8]byte
	c.buf = append(c.buf, zeros[:padded(length)-length]...)
}

// head writes the header of a value whose length is known.
func (c *Coder) head(tag Tag, typ Type, length int) {
	c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(head(tag, typ, length)))
}

// word is a value of four bytes.
func (c *Coder) word(tag Tag, typ Type, v uint32) uint32 {
	if !c.reading {
		c.head(tag, typ, 4)
		c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(v)<<32)
	} else if c.next == head(tag, typ, 4) { // as it should be, without a detour
		v = binary.BigEndian.Uint32(c.buf[c.pos+headerSize:])
		c.advance(c.pos + 2*headerSize)
	} else if b, ok := c.read(tag, typ); ok {
		return binary.BigEndian.Uint32(b)
	}
	return v
}

// long is a value of eight bytes.
func (c *Coder) long(tag Tag, typ Type, v uint64) uint64 {
	if !c.reading {
		c.head(tag, typ, 8)
		c.buf = binary.BigEndian.AppendUint64(c.buf, v)
	} else if b, ok := c.read(tag, typ); ok {
		return binary.BigEndian.Uint64(b)
	}
	return v
}

// Int is an Integer.
func (c *Coder) Int(tag Tag, v *int32) { *v = int32(c.word(tag, TypeInteger, uint32(*v))) }

// Long is a Long Integer.
func (c *Coder) Long(tag Tag, v *int64) { *v = int64(c.long(tag, TypeLongInteger, uint64(*v))) }

// Big is a Big Integer: two's complement, in a multiple of eight bytes.
func (c *Coder) Big(tag Tag, v *big.Int) {
	if !c.reading {
		at := c.open(tag, TypeBigInteger)
		c.buf = appendBig(c.buf, v)
		c.close(at)
	} else if b, ok := c.read(tag, TypeBigInteger); ok {
		readBig(v, b)
	}
}

// Enum is an Enumeration.
func Enum[T ~uint32](c *Coder, tag Tag, v *T) { *v = T(c.word(tag, TypeEnumeration, uint32(*v))) }

// Bool is a Boolean.
func (c *Coder) Bool(tag Tag, v *bool) {
	var n uint64
	if *v {
		n = 1
	}
	*v = c.long(tag, TypeBoolean, n) == 1
}

// Text is a Text String. It is kept as it came: what a server sends need not be the UTF-8 it should be.
func (c *Coder) Text(tag Tag, v *string) {
	if !c.reading {
		c.head(tag, TypeTextString, len(*v))
		c.buf = append(c.buf, *v...)
		c.pad(len(*v))
	} else if b, ok := c.read(tag, TypeTextString); ok {
		*v = string(b)
	}
}

// Bytes is a Byte String. What is read aliases the message.
func (c *Coder) Bytes(tag Tag, v *[]byte) { c.bytes(tag, TypeByteString, v) }

// TextBytes is a Text String that is not copied: what is read aliases the message.
func (c *Coder) TextBytes(tag Tag, v *[]byte) { c.bytes(tag, TypeTextString, v) }

func (c *Coder) bytes(tag Tag, typ Type, v *[]byte) {
	if !c.reading {
		c.head(tag, typ, len(*v))
		c.buf = append(c.buf, *v...)
		c.pad(len(*v))
	} else if b, ok := c.read(tag, typ); ok {
		*v = b
	}
}

// Time is a Date-Time, in seconds.
func (c *Coder) Time(tag Tag, v *time.Time) {
	if s := c.long(tag, TypeDateTime, uint64(v.Unix())); c.reading && c.err == nil {
		*v = time.Unix(int64(s), 0).UTC()
	}
}

// TimeExtended is a Date-Time Extended, in microseconds.
func (c *Coder) TimeExtended(tag Tag, v *time.Time) {
	if s := c.long(tag, TypeDateTimeExtended, uint64(v.UnixMicro())); c.reading && c.err == nil {
		*v = time.UnixMicro(int64(s)).UTC()
	}
}

// Interval is an Interval: whole seconds, from none to 2^32-1.
func (c *Coder) Interval(tag Tag, v *time.Duration) {
	if *v < 0 || *v/time.Second > math.MaxUint32 {
		c.Fail(tag, "an interval of %v", *v)
	}
	*v = time.Duration(c.word(tag, TypeInterval, uint32(*v/time.Second))) * time.Second
}

// Value is an item of any type.
func (c *Coder) Value(tag Tag, v *Value) {
	if !c.reading {
		if !v.Type.takes(len(v.Data)) {
			c.Fail(tag, "%s", v.Type.refuse(len(v.Data)))
		}
		c.head(tag, v.Type, len(v.Data))
		c.buf = append(c.buf, v.Data...)
		c.pad(len(v.Data))
		return
	}
	typ := c.TypeOf(tag)
	if b, ok := c.read(tag, typ); ok {
		*v = Value{Type: typ, Data: b}
	}
}

// count is how many items with that tag stand side by side from the first on.
func (c *Coder) count(tag Tag) (n int) {
	for at := c.find(tag); at < c.end; n++ {
		h := header(binary.BigEndian.Uint64(c.buf[at:]))
		if h.tag() != tag {
			break
		}
		at += headerSize + padded(h.length())
	}
	return n
}

// Optional is a field that is left out when it has its type's zero value:
//
//	ttlv.Optional(c, ttlv.TagMaximumItems, &l.MaximumItems, (*ttlv.Coder).Int)
func Optional[T comparable](c *Coder, tag Tag, v *T, field func(*Coder, Tag, *T)) {
	var zero T
	if c.Present(tag, *v != zero) {
		field(c, tag, v)
	}
}

// List is a field that repeats: one item an element, side by side.
//
//	ttlv.List(c, ttlv.TagUniqueIdentifier, &l.IDs, (*ttlv.Coder).Text)
func List[T any](c *Coder, tag Tag, list *[]T, field func(*Coder, Tag, *T)) {
	if !c.reading {
		for i := range *list {
			field(c, tag, &(*list)[i])
		}
		return
	}
	*list = slices.Grow((*list)[:0], c.count(tag))
	for more := c.Present(tag, false); more && c.err == nil; {
		var v T
		*list = append(*list, v)
		field(c, tag, &(*list)[len(*list)-1])
		next, ok := c.Next()
		more = ok && next == tag
	}
}
