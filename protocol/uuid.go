package protocol

import (
	"crypto/rand"
	"fmt"
)

// NewUUID returns a random UUID (RFC 9562 version 4) in canonical text: what a new key id looks like.
func NewUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // ends the program rather than return an error
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// IsUUID reports whether s is a UUID in canonical text: 8-4-4-4-12 hex digits in lower case, of any version.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if !uuidByte(i, s[i]) {
			return false
		}
	}
	return true
}

func uuidByte(i int, c byte) bool {
	if i == 8 || i == 13 || i == 18 || i == 23 {
		return c == '-'
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
}
