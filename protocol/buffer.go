package protocol

import (
	"encoding/hex"
	"strconv"
	"strings"

	"kmip-keymgr/internal/secret"
)

// buffer is an append-only text that may hold secrets. Unlike append it leaves no copy behind when it grows, and unlike
// encoding/json it writes into no pooled memory: after wipe its bytes are gone.
type buffer []byte

// wipe overwrites what is in the buffer and makes it empty, ready to be used again.
func (b *buffer) wipe() { *b = secret.Reuse(*b) }

// grow makes place for n more bytes.
func (b *buffer) grow(n int) {
	if cap(*b)-len(*b) >= n {
		return
	}
	bigger := make([]byte, len(*b), 2*cap(*b)+n)
	copy(bigger, *b)
	clear(*b)
	*b = bigger
}

// raw appends text as it stands.
func (b *buffer) raw(s string) {
	b.grow(len(s))
	*b = append(*b, s...)
}

// bytes appends p as it stands.
func (b *buffer) bytes(p []byte) {
	b.grow(len(p))
	*b = append(*b, p...)
}

// hex appends p as a JSON string of hex digits, nil as null.
func (b *buffer) hex(p []byte) {
	if p == nil {
		b.raw("null")
		return
	}
	b.grow(hex.EncodedLen(len(p)) + 2)
	*b = append(*b, '"')
	*b = hex.AppendEncode(*b, p)
	*b = append(*b, '"')
}

// text appends s as a JSON string.
func (b *buffer) text(s string) {
	b.raw(`"`)
	if strings.ContainsFunc(s, special) {
		b.escape(s)
	} else {
		b.raw(s)
	}
	b.raw(`"`)
}

// special reports whether r cannot stand in a JSON string as it is, or breaks a line in the eyes of some reader. Ranging
// over bytes that are no UTF-8 yields U+FFFD, which is special so that the bytes themselves are never written.
func special(r rune) bool {
	switch r {
	case '"', '\\', '\x7f', '\u0085', '\u2028', '\u2029', '\uFFFD':
		return true
	}
	return r < ' '
}

func (b *buffer) escape(s string) {
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.raw(`\` + string(r))
		case r != '\uFFFD' && special(r):
			b.raw(`\u` + strconv.FormatInt(0x10000+int64(r), 16)[1:])
		default:
			b.raw(string(r))
		}
	}
}

// textOrNull appends s as a JSON string, the empty one as null.
func (b *buffer) textOrNull(s string) {
	if s == "" {
		b.raw("null")
		return
	}
	b.text(s)
}

// numberOrNull appends n, or null for 0.
func (b *buffer) numberOrNull(n int64) {
	if n == 0 {
		b.raw("null")
		return
	}
	b.raw(strconv.FormatInt(n, 10))
}

func (b *buffer) bool(v bool) { b.raw(strconv.FormatBool(v)) }

// list appends items as a JSON list, nil as the empty one.
func list[T any](b *buffer, items []T, encode func(T, *buffer)) {
	b.raw("[")
	for i, item := range items {
		if i > 0 {
			b.raw(",")
		}
		encode(item, b)
	}
	b.raw("]")
}
