package ttlv

import (
	"encoding/binary"
	"errors"
	"slices"
)

// This file is how a Coder finds its way when it reads. Each item is checked when it is read or passed over, so that
// one walk looks at every byte of the message once.

// structSlow is Struct on the slow path, where there may be unknown fields: it remembers those it skips.
func (c *Coder) structSlow(tag Tag, fields func(*Coder)) {
	outer := c.end
	if !c.enterSlow(tag) {
		return
	}
	start, first := c.start, c.first
	c.start, c.first = c.pos, len(c.skipped)
	fields(c)
	c.leave()
	c.skipped = c.skipped[:c.first]
	c.start, c.first = start, first
	c.exit(outer)
}

// leave looks at what is left unread at the end of a structure.
func (c *Coder) leave() {
	for c.pos < c.end {
		c.skip()
	}
}

// rest is what is left of the structure.
func (c *Coder) rest() []byte { return c.buf[c.pos:c.end] }

// within moves to a place in the structure at hand, or another.
func (c *Coder) within(pos, end int) {
	c.pos, c.end = pos, end
	c.next = first(c.buf[pos:end])
}

// first is the header of the first of those items, 0 where there is none. The item need not be all there.
func first(items []byte) header {
	if len(items) >= headerSize {
		return header(binary.BigEndian.Uint64(items))
	}
	return 0
}

// find is the header of the first sibling with that tag from here on, mostly the next one, or 0.
func (c *Coder) find(tag Tag) header {
	if c.next.tag() == tag {
		return c.next
	}
	return c.search(tag)
}

// search is find in what is left of the structure.
func (c *Coder) search(tag Tag) header {
	if c.fast {
		return 0
	}
	h, left := seek(c.rest(), tag)
	if h == 0 && (len(left) > 0 || c.first < len(c.skipped)) {
		c.lost(tag, left)
	}
	return h
}

// lost makes it an error if a field that was not found had been skipped, or if the items end within one.
func (c *Coder) lost(tag Tag, left []byte) {
	if len(left) > 0 {
		c.stop(cut(left, c.end-len(left)))
	} else if slices.Contains(c.skipped[c.first:], tag) {
		c.Fail(tag, "out of order")
	}
}

// seek is the header of the first of those items that has the tag, or 0, and what is left from there on.
func seek(items []byte, tag Tag) (header, []byte) {
	for len(items) >= headerSize {
		h := header(binary.BigEndian.Uint64(items))
		if h.tag() == tag {
			return h, items
		}
		if h.size() > uint64(len(items)) {
			break
		}
		items = items[h.size():]
	}
	return 0, items
}

// enter moves to the first field of the structure that is next.
func (c *Coder) enter() {
	pos := c.pos + headerSize
	c.within(pos, pos+c.next.length())
	c.depth++
}

// exit goes on behind the structure at hand, which is read, in the one around it.
func (c *Coder) exit(outer int) {
	if c.err == nil {
		c.within(c.pos, outer)
		c.depth--
	}
}

// enterSlow enters a structure that need not be next, or may not be entered.
func (c *Coder) enterSlow(tag Tag) bool {
	h := c.next
	if !h.is(tag, TypeStructure) {
		h = c.reach(tag, TypeStructure)
	}
	switch room := c.end - c.pos; {
	case c.err != nil:
	case h.size() > uint64(room):
		c.stop(cut(c.rest(), c.pos))
	case !h.opens(tag, room):
		c.stop(h.misfit(c.pos))
	case c.depth == MaxDepth:
		c.stop(tooDeep(tag, c.pos))
	default:
		c.enter()
	}
	return c.err == nil
}

// read moves behind the field and returns its value, without padding.
func (c *Coder) read(tag Tag, typ Type) ([]byte, bool) {
	h := c.next
	if !h.is(tag, typ) {
		if h = c.reach(tag, typ); h == 0 {
			return nil, false
		}
	}
	b, size := c.rest(), h.size()
	if size > uint64(len(b)) {
		c.stop(cut(b, c.pos))
		return nil, false
	}
	if !h.fits(binary.BigEndian.Uint64(b[size-8:])) {
		c.stop(h.misfit(c.pos))
		return nil, false
	}
	c.pos += int(size)
	c.next = first(b[size:])
	end := headerSize + h.length()
	return b[headerSize:end:end], true
}

// errSlowPath ends the fast path.
var errSlowPath = errors.New("ttlv: not as it should be")

// reach passes over the fields before the one with that tag, which should be of that type, and returns its header.
func (c *Coder) reach(tag Tag, typ Type) header {
	if c.fast {
		c.stop(errSlowPath)
		return 0
	}
	h := c.find(tag)
	if h == 0 {
		c.Fail(tag, "missing")
	}
	for c.pos < c.end && c.next.tag() != tag {
		c.skip()
	}
	if h.typ() != typ {
		c.Fail(tag, "type %v, not %v", h.typ(), typ)
	}
	return c.next
}

// skip passes over one field that nobody asked for.
func (c *Coder) skip() {
	if c.fast {
		c.stop(errSlowPath)
		return
	}
	h, passed := c.next, c.skipped[c.first:]
	tag := h.tag()
	known := slices.Contains(passed, tag)
	switch {
	case c.end-c.pos < headerSize:
		c.stop(cut(c.rest(), c.pos))
	case !known && c.before(tag):
		c.Fail(tag, "more than one")
	case c.Strict:
		c.Fail(tag, "unexpected field")
	case !known && len(passed) == maxSkipped:
		c.Fail(tag, "too many unknown fields")
	case !known:
		c.skipped = append(c.skipped, tag)
	}
	c.whole(tag, h.typ())
}

// before reports whether a field with that tag stands between the structure's start and here.
func (c *Coder) before(tag Tag) bool {
	h, _ := seek(c.buf[c.start:c.pos], tag)
	return h != 0
}

// whole reads a field of any type without entering it, and so checks here what may be inside.
func (c *Coder) whole(tag Tag, typ Type) ([]byte, bool) {
	v, ok := c.read(tag, typ)
	if ok && typ == TypeStructure {
		at := c.pos - len(v) - headerSize
		c.stop(checkAll(c.buf[at:c.pos], at, c.depth))
	}
	return v, ok
}
