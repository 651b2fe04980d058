package kmip

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"os"

	"kmip-keymgr/internal/secret"
)

// wire is the socket below TLS. It keeps crypto/tls from leaving secrets in memory:
//
//   - crypto/tls decrypts a record in the buffer that it was read into, and reads the next one into the same buffer if that
//     is large enough. So Read returns no more than the rest of one record, and first clears all the room it is given, as an
//     io.Reader may: see [wipeRead].
//   - crypto/tls copies what it is to send into a buffer and encrypts it there. In TLS 1.3 it may do so several times, while
//     the buffer grows. So a wire remembers how large the buffer was: see [writeSecret].
type wire struct {
	*net.TCPConn
	in   *bufio.Reader // of records as they came, encrypted
	rest int           // bytes of the record at hand
	dry  bool          // nothing is to be read now
	over bool          // bytes beyond the last answer were read
	room int           // bytes that certainly fit the array where records are encrypted
	hold bool          // records wait to be sent together
	held []byte        // those records, encrypted
}

// The sizes of TLS records (RFC 8446 section 5, RFC 5246 section 6.2).
const (
	recordHeader = 5
	recordExtra  = recordHeader + 1 + 16 // what TLS 1.3 adds to what is sent
)

func newWire(conn net.Conn) *wire {
	return &wire{TCPConn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}
}

func (w *wire) Read(p []byte) (int, error) {
	clear(p)
	if w.dry {
		return 0, os.ErrDeadlineExceeded // which crypto/tls takes for a pause
	}
	if w.rest == 0 {
		header, err := w.in.Peek(recordHeader)
		if err != nil {
			return 0, err
		}
		w.rest = recordHeader + int(binary.BigEndian.Uint16(header[3:]))
	}
	n, err := w.in.Read(p[:min(len(p), w.rest)])
	w.rest -= n
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.room = cap(p) - recordExtra
	if !w.hold {
		return w.TCPConn.Write(p)
	}
	w.held = append(w.held, p...)
	return len(p), nil
}

// send writes the records that were held.
func (w *wire) send() error {
	_, err := w.TCPConn.Write(w.held)
	w.hold, w.held = false, secret.Reuse(w.held)
	return err
}

// wipeRead overwrites crypto/tls's record buffer, by a read into it for which nothing comes. It reports whether nothing was
// left: part of another message would be lost, and the connection is useless then.
func wipeRead(conn *tls.Conn) (clean bool) {
	w := conn.NetConn().(*wire)
	w.dry = true
	defer func() { w.dry = false }()
	var unread [512]byte
	defer clear(unread[:])
	n, err := conn.Read(unread[:])
	w.over = w.over || n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || w.rest > 0 || w.in.Buffered() > 0
	for err == nil {
		_, err = conn.Read(unread[:])
	}
	return !w.over
}

// publicStart is how many bytes at the start of every message hold no secret: the header as far as the first field of a
// credential.
const publicStart = 96

// write writes a message, in the way that a secret needs or in the shortest.
func write(conn *tls.Conn, message []byte, secret bool) error {
	if secret {
		return writeSecret(conn, message)
	}
	_, err := conn.Write(message)
	return err
}

// writeSecret writes a message that holds a secret behind its start. A record is no longer than what the array has room
// for that took the one before, so that it is not copied on.
func writeSecret(conn *tls.Conn, message []byte) error {
	w := conn.NetConn().(*wire)
	w.hold = true
	for n := publicStart; len(message) > 0; n = max(w.room, publicStart) {
		n = min(n, len(message))
		if _, err := conn.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return w.send()
}
