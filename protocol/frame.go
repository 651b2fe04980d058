package protocol

import (
	"bufio"
	"io"
)

// requests splits the input by strings and nesting alone, and gives up at the limits. The decoder checks what is between the
// braces.
type requests struct {
	in   *bufio.Reader
	buf  buffer // the request at hand, its braces included
	read int64  // bytes of the input up to and including buf
	any  bool   // there has been a request
}

func newRequests(in io.Reader) *requests {
	return &requests{in: bufio.NewReaderSize(in, 16<<10)}
}

// next returns the next request, which is the caller's until the next call. It reads no more once the closing brace is
// there. The error is io.EOF where the input ends after a request, and anything else means broken input.
func (r *requests) next() ([]byte, error) {
	r.buf.wipe()
	if err := r.skipSpace(); err != nil {
		return nil, err
	}
	var n nesting
	for {
		chunk, err := r.peek()
		if err != nil {
			return nil, r.within(err)
		}
		r.take(chunk[:n.scan(chunk)])
		switch {
		case len(r.buf) > MaxRequest:
			return nil, broken("more than %d bytes in the request that begins at byte %d", MaxRequest, r.start())
		case n.depth > MaxDepth:
			return nil, broken("more than %d levels of nesting at byte %d", MaxDepth, r.read)
		case n.wrong:
			return nil, noJSON(r.read)
		case n.depth == 0:
			return r.buf, nil
		}
	}
}

// start is the place of the request's first byte in the input, counted from 1.
func (r *requests) start() int64 { return r.read - int64(len(r.buf)) + 1 }

// skipSpace reads to the first byte of a request.
func (r *requests) skipSpace() error {
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			return r.between(err)
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			r.read++
		case '{':
			r.any = true
			return r.in.UnreadByte()
		default:
			return broken("byte %d does not begin a JSON object", r.read+1)
		}
	}
}

// peek returns what there is to read, and waits only where there is nothing.
func (r *requests) peek() ([]byte, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	return r.in.Peek(r.in.Buffered())
}

// take moves part of what was peeked into the request and leaves nothing of it behind.
func (r *requests) take(part []byte) {
	r.buf.bytes(part)
	r.read += int64(len(part))
	clear(part)
	_, _ = r.in.Discard(len(part)) // it is buffered
}

// between says what an error before a request means.
func (r *requests) between(err error) error {
	switch {
	case err != io.EOF:
		return broken("byte %d: %v", r.read+1, err)
	case !r.any:
		return broken("the input ends at byte %d without a request", r.read)
	}
	return io.EOF
}

// within says what an error inside a request means.
func (r *requests) within(err error) error {
	if err != io.EOF {
		return broken("byte %d: %v", r.read+1, err)
	}
	return broken("the input ends at byte %d, within the request that begins at byte %d", r.read, r.start())
}

// wipe overwrites what was read and not answered.
func (r *requests) wipe() {
	r.buf.wipe()
	rest, _ := r.in.Peek(r.in.Buffered())
	clear(rest)
}

// nesting follows a JSON text just so far as to see where it closes, or that it never will: a caller whose request is cut
// short, or who cannot count brackets, gets an answer and does not wait for one.
type nesting struct {
	depth           int
	lists           uint64 // a bit for every level, the lowest for the innermost: it is a list
	quoted, escaped bool
	wrong           bool
}

// scan returns how many bytes of chunk belong to the text: up to the byte that closes it, goes too deep or is wrong.
func (n *nesting) scan(chunk []byte) int {
	for i := 0; i < len(chunk); i++ {
		if n.quoted && !n.escaped {
			i += plain(chunk[i:])
		}
		if i == len(chunk) {
			break
		}
		if n.step(chunk[i]); n.depth == 0 || n.depth > MaxDepth || n.wrong {
			return i + 1
		}
	}
	return len(chunk)
}

// plain returns how many bytes at the start of p are a string's own: no quote, backslash or control character.
func plain(p []byte) int {
	for i, c := range p {
		if c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return len(p)
}

func (n *nesting) step(c byte) {
	if n.quoted {
		n.wrong = c < ' '
		n.quoted = c != '"' || n.escaped
		n.escaped = c == '\\' && !n.escaped
		return
	}
	switch c {
	case '"':
		n.quoted = true
	case '{':
		n.depth, n.lists = n.depth+1, n.lists<<1
	case '[':
		n.depth, n.lists = n.depth+1, n.lists<<1|1
	case '}':
		n.wrong = n.lists&1 == 1
		n.depth, n.lists = n.depth-1, n.lists>>1
	case ']':
		n.wrong = n.lists&1 == 0
		n.depth, n.lists = n.depth-1, n.lists>>1
	}
}
