package ttlv

import (
	"encoding/binary"
	"slices"
)

// This file is how a Coder finds its way when it reads. Each item is checked when it is read or passed over, so that
// every byte of the message is looked at once.

// pos is where the next item starts.
func (c *Coder) pos() int { return c.end - len(c.rest) }

// leave looks at what is left unread at the end of a structure.
func (c *Coder) leave() {
	for len(c.rest) > 0 {
		c.skip()
	}
}

// peek is the header of the next item, 0 at the structure's end. The item need not be all there.
func (c *Coder) peek() header {
	if len(c.rest) < headerSize {
		return 0
	}
	return header(binary.BigEndian.Uint64(c.rest))
}

// find is the header of the first sibling with that tag from here on, mostly the next one, or 0.
func (c *Coder) find(tag Tag) header {
	h, left := seek(c.rest, tag)
	if h == 0 && (len(left) > 0 || c.first < len(c.skipped)) {
		c.lost(tag, left)
	}
	return h
}

// lost is the error, if it is one, of a field that is not there.
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

// read moves behind the field and returns its value, without padding.
func (c *Coder) read(tag Tag, typ Type) ([]byte, bool) {
	h := c.peek()
	if !h.is(tag, typ) {
		if h = c.reach(tag, typ); h == 0 {
			return nil, false
		}
	}
	size := h.size()
	if size > uint64(len(c.rest)) {
		c.stop(cut(c.rest, c.pos()))
		return nil, false
	}
	if whole := typ == TypeStructure && h%8 == 0; !whole && !h.fits(binary.BigEndian.Uint64(c.rest[size-8:])) {
		c.stop(h.misfit(c.pos()))
		return nil, false
	}
	item := c.rest[:size]
	c.rest = c.rest[size:]
	end := headerSize + h.length()
	return item[headerSize:end:end], true
}

// reach passes over the fields before the one with that tag, which should be of that type, and returns its header.
func (c *Coder) reach(tag Tag, typ Type) header {
	h := c.find(tag)
	if h == 0 {
		c.Fail(tag, "missing")
	}
	for len(c.rest) > 0 && c.peek().tag() != tag {
		c.skip()
	}
	if h.typ() != typ {
		c.Fail(tag, "type %v, not %v", h.typ(), typ)
	}
	return c.peek()
}

// skip passes over one field that nobody asked for.
func (c *Coder) skip() {
	h, passed := c.peek(), c.skipped[c.first:]
	tag := h.tag()
	known := slices.Contains(passed, tag)
	switch {
	case len(c.rest) < headerSize:
		c.stop(cut(c.rest, c.pos()))
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

// before tells whether a field with that tag stands between the structure's start and here.
func (c *Coder) before(tag Tag) bool {
	h, _ := seek(c.buf[c.start:c.pos()], tag)
	return h != 0
}

// whole reads a field of any type without entering it, and so checks here what may be inside.
func (c *Coder) whole(tag Tag, typ Type) ([]byte, bool) {
	v, ok := c.read(tag, typ)
	if ok && typ == TypeStructure {
		c.stop(checkAll(v, c.pos()-len(v), c.depth+1))
	}
	return v, ok
}

// count is how many items with that tag stand side by side from the first on.
func (c *Coder) count(tag Tag) (n int) {
	if c.find(tag) == 0 {
		return 0
	}
	_, items := seek(c.rest, tag)
	for {
		h, ok := headerOf(items)
		if !ok || h.tag() != tag {
			return n
		}
		items = items[h.size():]
		n++
	}
}
