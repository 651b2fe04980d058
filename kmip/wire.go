package kmip

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"net"
	"time"
)

// wire is the socket below TLS. It sees to it that crypto/tls leaves nothing of a conversation behind that was decrypted:
//
//   - crypto/tls decrypts a record where it was read to, and reads the next one to the same place if it has room there. So
//     a wire never gives out more than the rest of one record, and uses the whole of the room it is given, as an io.Reader
//     may, to overwrite what was there: see [wipeRead].
//   - crypto/tls encrypts a record where it was copied to, and in TLS 1.3 it may copy it several times if the array there
//     turns out to be small. So a wire remembers how large the array was: see [writeSecret].
type wire struct {
	*net.TCPConn
	in   *bufio.Reader // of records as they came, encrypted
	rest int           // bytes of the record at hand
	room int           // bytes that certainly fit the array where records are encrypted
	hold bool          // send the next record together with the one after it
	held []byte        // that record, encrypted
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
	if w.hold {
		w.hold, w.held = false, append(w.held[:0], p...)
		return len(p), nil
	}
	if len(w.held) == 0 {
		return w.TCPConn.Write(p)
	}
	both := net.Buffers{w.held, p}
	w.held = w.held[:0]
	if _, err := both.WriteTo(w.TCPConn); err != nil {
		return 0, err
	}
	return len(p), nil
}

// wipeRead overwrites what was read last, by reading to the same place without waiting for anything to come.
func wipeRead(conn *tls.Conn) {
	_ = conn.SetReadDeadline(past())
	defer conn.SetReadDeadline(time.Time{})
	var unread [512]byte
	defer clear(unread[:])
	for {
		if _, err := conn.Read(unread[:]); err != nil {
			return // the next exchange finds out whether it was more than that nothing came
		}
	}
}

// publicStart is how many bytes at the start of every message hold no secret: the header as far as the first field of a
// credential.
const publicStart = 96

// writeSecret writes a message that holds a secret behind its start. A record is no longer than what the array has room
// for that took the one before, so that it is not copied on.
func writeSecret(conn *tls.Conn, message []byte) error {
	w := conn.NetConn().(*wire)
	w.hold = len(message) > publicStart
	for n := publicStart; len(message) > 0; n = max(w.room, publicStart) {
		n = min(n, len(message))
		if _, err := conn.Write(message[:n]); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
