// Command echo is the least that a key manager can be: it reads KMIP messages, by the length in their headers, and answers
// each with bytes that somebody else prepared.
//
//	echo PKI REPLY
package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"kmip-keymgr/tests/bench/floor/raw"
)

func main() {
	log.SetFlags(0)
	log.Fatal(serve(os.Args[1], os.Args[2]))
}

func serve(pki, prepared string) error {
	reply, err := os.ReadFile(prepared)
	if err != nil {
		return err
	}
	config, err := raw.Server(pki)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go answer(conn, reply)
	}
}

// answer serves one connection until it breaks off.
func answer(conn net.Conn, reply []byte) {
	defer conn.Close()
	message := make([]byte, 1<<16)
	for read(conn, message) == nil {
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

func read(conn net.Conn, message []byte) error {
	if _, err := io.ReadFull(conn, message[:8]); err != nil {
		return err
	}
	size := 8 + int(binary.BigEndian.Uint32(message[4:]))
	if size > len(message) {
		return io.ErrShortBuffer
	}
	_, err := io.ReadFull(conn, message[8:size])
	return err
}
