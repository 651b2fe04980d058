package main

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"

	"kmip-keymgr/tests/bench/floor/raw"
)

// exchange is a request and its reply as they stand on the wire.
type exchange struct{ request, reply []byte }

// overhear accepts one client, has the server answer its first request, and returns both messages.
func overhear(listener net.Listener, server, pki string) (exchange, error) {
	config, err := raw.Server(pki)
	if err != nil {
		return exchange{}, err
	}
	plain, err := listener.Accept()
	if err != nil {
		return exchange{}, err
	}
	client := tls.Server(plain, config)
	defer client.Close()
	request, err := readMessage(client)
	if err != nil {
		return exchange{}, err
	}
	reply, err := askOnce(server, pki, request)
	if err == nil {
		_, err = client.Write(reply)
	}
	return exchange{request, reply}, err
}

// askOnce sends a message on a connection of its own.
func askOnce(server, pki string, request []byte) ([]byte, error) {
	conn, err := raw.Client(server, pki)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	return readMessage(conn)
}

func readMessage(r io.Reader) ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	message := make([]byte, len(header)+int(binary.BigEndian.Uint32(header[4:])))
	copy(message, header[:])
	_, err := io.ReadFull(r, message[len(header):])
	return message, err
}
