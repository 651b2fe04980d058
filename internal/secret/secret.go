// Package secret holds the type of bytes that must not be shown.
package secret

import "fmt"

// Bytes are key material, a password or a token. They print as their length under every verb, so that no log line,
// error or test failure can show them, and they marshal to nothing: who writes them out converts them on purpose.
type Bytes []byte

// Format prints the length, whatever the verb.
func (b Bytes) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret(%d bytes)", len(b)) }

// MarshalText refuses: JSON and every other text encoding of a secret is a mistake.
func (b Bytes) MarshalText() ([]byte, error) { return nil, fmt.Errorf("%v does not marshal", b) }

// maxKept is how large an array [Reuse] keeps, in bytes: one large object does not make a session large for ever.
const maxKept = 64 << 10

// Reuse overwrites a buffer and returns it empty, to be filled again: nil where its array was large.
func Reuse(b []byte) []byte {
	clear(b)
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}

// Clear overwrites the bytes with zeros. The owner of the array calls it once nobody reads it any more.
func (b Bytes) Clear() { clear(b) }
