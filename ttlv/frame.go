package ttlv

import (
	"encoding/binary"
	"fmt"
	"io"
)

// firstRead is how much room a message gets before its bytes have begun to arrive.
const firstRead = 4096

// ReadMessage reads one message with that tag from a stream. Its size, header included, may be at most limit bytes; the
// buffer grows as bytes arrive and not as the length field promises, and what it outgrows is cleared. The bytes belong to
// the caller; they are framed, not yet checked ([Check]).
//
// io.EOF means that the stream ended before the first byte, io.ErrUnexpectedEOF that it ended inside the message; a
// first item that cannot be the message is an [*Error], and nothing behind it can be read.
func ReadMessage(r io.Reader, tag Tag, limit int) ([]byte, error) {
	msg := make([]byte, headerSize, 1024)
	if _, err := io.ReadFull(r, msg); err != nil {
		return nil, err
	}
	size, err := messageSize(header(binary.BigEndian.Uint64(msg)), tag, limit)
	if err != nil {
		return nil, err
	}
	for have := headerSize; have < size; {
		want := min(size, max(2*have, firstRead))
		msg = grow(msg, want)
		if _, err := io.ReadFull(r, msg[have:]); err != nil {
			clear(msg)
			return nil, unexpected(err)
		}
		have = want
	}
	return msg, nil
}

func messageSize(h header, tag Tag, limit int) (int, error) {
	switch {
	case h.tag() != tag:
		return 0, &Error{Tag: h.tag(), Reason: fmt.Sprintf("a message should start with %v", tag)}
	case h.typ() != TypeStructure:
		return 0, &Error{Tag: tag, Reason: fmt.Sprintf("type %v, not Structure", h.typ())}
	case h.length()%8 != 0:
		return 0, &Error{Tag: tag, Reason: fmt.Sprintf("length %d is not a multiple of 8", h.length())}
	case h.length() < 0 || h.length() > limit-headerSize: // an int may have 32 bits
		return 0, &Error{Tag: tag, Reason: fmt.Sprintf("length %d is over the limit of %d bytes", h.length(), limit)}
	}
	return headerSize + h.length(), nil
}

// grow makes msg size bytes long, in an array of that size if its own is too small, and clears the array it leaves.
func grow(msg []byte, size int) []byte {
	if size <= cap(msg) {
		return msg[:size]
	}
	bigger := make([]byte, size)
	copy(bigger, msg)
	clear(msg)
	return bigger
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
