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

	// Reading: the structure at hand.
	pos, end int    // what is left of it in buf: nothing after an error
	next     header // of the first item in that, 0 where there is none, and when writing
	depth    int    // of structures, this one included
	fast     bool   // the fast path; the slow one searches for a field that is not next, and tells what is wrong
	// The slow path alone.
	start   int   // of the structure
	skipped []Tag // what was passed over in this structure and in those around it
	first   int   // where this structure's begin in skipped
}

// firstRoom is the smallest array for a message that is being written.
const firstRoom = 512

// maxSkipped is how many different fields of a structure may be passed over. No structure of any version has so many that
// are not known here.
const maxSkipped = 64

// Append writes one structure to the end of buf and returns the longer buffer. Where buf is outgrown it is cleared, since
// what is written may be secret.
func (c *Coder) Append(buf []byte, tag Tag, fields func(*Coder)) ([]byte, error) {
	c.buf, c.reading, c.fast, c.err, c.next = buf, false, false, nil, 0
	c.Struct(tag, fields)
	out := c.buf
	c.buf = nil
	return out, c.err
}

// Decode reads msg, which must be one well-formed structure with the given tag (see [Check]). What is read aliases msg.
// A message with fields unknown here may be walked a second time from its start, so fields must first reset what it reads
// into.
func (c *Coder) Decode(msg []byte, tag Tag, fields func(*Coder)) error {
	return c.decode(msg, func(c *Coder) {
		if !c.fast {
			c.stop(alone(msg))
		}
		c.Struct(tag, fields)
	})
}

// maxFast is the longest message, in bytes, that the fast path tries. What reading a longer one allocates should
// not be allocated twice.
const maxFast = 64 << 10

// decode reads items that stand in no structure. The fast path takes every field to be the next one. A message for which that
// does not hold is read again on the slow path.
func (c *Coder) decode(items []byte, fields func(*Coder)) error {
	version := c.Version
	c.buf, c.reading, c.fast = items, true, len(items) <= maxFast
	if c.walk(fields); c.err != nil && c.fast {
		c.Version, c.fast = version, false
		c.walk(fields)
	}
	c.buf = nil
	return c.err
}

func (c *Coder) walk(fields func(*Coder)) {
	c.err, c.depth = nil, 0
	c.start, c.skipped, c.first = 0, c.skipped[:0], 0
	c.within(0, len(c.buf))
	fields(c)
	c.leave()
}

// Reading tells the direction of the walk, for the few fields whose form depends on it.
func (c *Coder) Reading() bool { return c.reading }

// Fail ends the walk with an error that names the field and, when reading, where the walk stands.
func (c *Coder) Fail(tag Tag, format string, args ...any) {
	if c.err == nil {
		c.stop(&Error{Tag: tag, Offset: c.offset(), Reason: fmt.Sprintf(format, args...)})
	}
}

// stop ends the walk at its first error.
func (c *Coder) stop(err error) {
	if c.err == nil && err != nil {
		c.err = err
		c.within(c.pos, c.pos)
	}
}

func (c *Coder) offset() int {
	if c.reading {
		return c.pos
	}
	return len(c.buf)
}

// Struct is a structure, whose fields are walked by fields.
func (c *Coder) Struct(tag Tag, fields func(*Coder)) {
	outer := c.end
	switch {
	case !c.reading:
		at := c.open(tag, TypeStructure)
		fields(c)
		c.close(at)
	case !c.fast:
		c.structSlow(tag, fields)
	case c.next.opens(tag, outer-c.pos) && c.depth < MaxDepth:
		c.enter()
		if fields(c); c.pos < c.end {
			c.stop(errSlowPath)
		}
		c.exit(outer)
	default:
		c.stop(errSlowPath)
	}
}

// Present reports whether an optional field is there: when writing, as the caller says; when reading, as the message says.
func (c *Coder) Present(tag Tag, present bool) bool {
	if !c.reading {
		return present
	}
	return c.next.tag() == tag || c.search(tag) != 0
}

// Next is the tag of the next field in the structure being read, false at its end and when writing.
func (c *Coder) Next() (Tag, bool) {
	return c.next.tag(), c.next != 0
}

// TypeOf is the type of a field that is about to be read, 0 where it is absent and when writing.
func (c *Coder) TypeOf(tag Tag) Type {
	if !c.reading {
		return 0
	}
	return c.find(tag).typ()
}

// extend makes the message n bytes longer and returns those.
func (c *Coder) extend(n int) []byte {
	at := len(c.buf)
	if n > cap(c.buf)-at {
		c.outgrow(n)
	}
	c.buf = c.buf[:at+n]
	return c.buf[at:]
}

// outgrow moves the message to a larger array.
func (c *Coder) outgrow(n int) {
	old := c.buf
	c.buf = append(make([]byte, 0, max(2*cap(old), len(old)+n, firstRoom)), old...)
	clear(old)
}

// open writes an item's header with a length that close fills in.
func (c *Coder) open(tag Tag, typ Type) int {
	binary.BigEndian.PutUint64(c.extend(headerSize), uint64(head(tag, typ, 0)))
	return len(c.buf)
}

// close is for values of whole eight bytes, which need no padding.
func (c *Coder) close(at int) {
	binary.BigEndian.PutUint32(c.buf[at-4:], uint32(len(c.buf)-at))
}

// value writes an item and returns the room for its value, behind which the padding is done.
func (c *Coder) value(tag Tag, typ Type, length int) []byte {
	room := padded(length)
	b := c.extend(headerSize + room)
	binary.BigEndian.PutUint64(b, uint64(head(tag, typ, length)))
	if room > length {
		binary.BigEndian.PutUint64(b[room:], 0)
	}
	return b[headerSize:]
}

// The header of each value of at most eight bytes, but for its tag.
const (
	integer          = header(TypeInteger)<<32 | 4
	longInteger      = header(TypeLongInteger)<<32 | 8
	enumeration      = header(TypeEnumeration)<<32 | 4
	boolean          = header(TypeBoolean)<<32 | 8
	dateTime         = header(TypeDateTime)<<32 | 8
	dateTimeExtended = header(TypeDateTimeExtended)<<32 | 8
	interval         = header(TypeInterval)<<32 | 4
)

// The bits that must be zero in the eight bytes of such a value with its padding.
const (
	inEight uint64 = 0
	inFour  uint64 = 1<<32 - 1
	inOne   uint64 = ^uint64(1) // Boolean
)

// eight is a value of at most eight bytes, with its padding.
func (c *Coder) eight(tag Tag, form header, zero, v uint64) uint64 {
	h := header(tag)<<40 | form
	if !c.reading {
		b := c.extend(2 * headerSize)
		binary.BigEndian.PutUint64(b[headerSize:], v)
		binary.BigEndian.PutUint64(b, uint64(h))
		return v
	}
	if b := c.rest(); c.next == h && len(b) >= 2*headerSize {
		if w := binary.BigEndian.Uint64(b[headerSize:]); w&zero == 0 { // as it should be, without a detour
			c.pos += 2 * headerSize
			c.next = first(b[2*headerSize:])
			return w
		}
	}
	if b, ok := c.read(tag, h.typ()); ok {
		var w [8]byte
		copy(w[:], b)
		return binary.BigEndian.Uint64(w[:])
	}
	return v
}

// Int is an Integer.
func (c *Coder) Int(tag Tag, v *int32) {
	*v = int32(c.eight(tag, integer, inFour, uint64(*v)<<32) >> 32)
}

// Long is a Long Integer.
func (c *Coder) Long(tag Tag, v *int64) {
	*v = int64(c.eight(tag, longInteger, inEight, uint64(*v)))
}

// Big is a Big Integer: two's complement, in a multiple of eight bytes.
func (c *Coder) Big(tag Tag, v *big.Int) {
	if !c.reading {
		at := c.open(tag, TypeBigInteger)
		b := appendBig(nil, v)
		copy(c.extend(len(b)), b)
		clear(b)
		c.close(at)
	} else if b, ok := c.read(tag, TypeBigInteger); ok {
		readBig(v, b)
	}
}

// Enum is an Enumeration.
func Enum[T ~uint32](c *Coder, tag Tag, v *T) {
	*v = T(c.eight(tag, enumeration, inFour, uint64(*v)<<32) >> 32)
}

// Bool is a Boolean.
func (c *Coder) Bool(tag Tag, v *bool) {
	var n uint64
	if *v {
		n = 1
	}
	*v = c.eight(tag, boolean, inOne, n) == 1
}

// Text is a Text String. It is kept as it came: what a server sends need not be the UTF-8 it should be.
func (c *Coder) Text(tag Tag, v *string) {
	if !c.reading {
		copy(c.value(tag, TypeTextString, len(*v)), *v)
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
		copy(c.value(tag, typ, len(*v)), *v)
	} else if b, ok := c.read(tag, typ); ok {
		*v = b
	}
}

// Time is a Date-Time, in seconds.
func (c *Coder) Time(tag Tag, v *time.Time) {
	if !c.reading {
		c.eight(tag, dateTime, inEight, uint64(v.Unix()))
	} else if s := c.eight(tag, dateTime, inEight, 0); c.err == nil {
		*v = time.Unix(int64(s), 0).UTC()
	}
}

// TimeExtended is a Date-Time Extended, in microseconds.
func (c *Coder) TimeExtended(tag Tag, v *time.Time) {
	if !c.reading {
		c.eight(tag, dateTimeExtended, inEight, uint64(v.UnixMicro()))
	} else if s := c.eight(tag, dateTimeExtended, inEight, 0); c.err == nil {
		*v = time.UnixMicro(int64(s)).UTC()
	}
}

// Interval is an Interval: whole seconds, from none to 2^32-1.
func (c *Coder) Interval(tag Tag, v *time.Duration) {
	if *v < 0 || *v/time.Second > math.MaxUint32 {
		c.Fail(tag, "an interval of %v", *v)
	}
	seconds := c.eight(tag, interval, inFour, uint64(*v/time.Second)<<32) >> 32
	*v = time.Duration(seconds) * time.Second
}

// Value is an item of any type.
func (c *Coder) Value(tag Tag, v *Value) {
	if !c.reading {
		if !v.Type.takes(len(v.Data)) {
			c.Fail(tag, "%s", v.Type.refuse(len(v.Data)))
		}
		copy(c.value(tag, v.Type, len(v.Data)), v.Data)
		return
	}
	typ := c.TypeOf(tag)
	if b, ok := c.whole(tag, typ); ok {
		*v = Value{Type: typ, Data: b}
	}
}

// Optional is a field that is left out when it has its type's zero value:
//
//	ttlv.Optional(c, ttlv.TagMaximumItems, &l.MaximumItems, (*ttlv.Coder).Int)
func Optional[T comparable](c *Coder, tag Tag, v *T, field func(*Coder, Tag, *T)) {
	if !c.fast || Tag(c.next>>40) == tag { // as most fields are absent, inlined, which it is not with tag()
		optional(c, tag, v, field)
	}
}

func optional[T comparable](c *Coder, tag Tag, v *T, field func(*Coder, Tag, *T)) {
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
	*list = (*list)[:0]
	for more := c.Present(tag, false); more; more = c.next.tag() == tag {
		n := len(*list)
		*list = slices.Grow(*list, 1)[:n+1]
		var zero T
		(*list)[n] = zero // in place, where append would copy it
		field(c, tag, &(*list)[n])
	}
}
