// Command get is the least that a one-shot get can be: JSON in, a TLS handshake, one exchange of bytes that somebody else
// prepared, JSON out.
//
//	get ADDRESS PKI REQUEST REPLY-SIZE
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"strconv"

	"kmip-keymgr/tests/bench/floor/raw"
)

type request struct {
	Version int     `json:"version"`
	ID      *string `json:"id"`
	Op      string  `json:"op"`
	Args    struct {
		KeyID string `json:"key_id"`
	} `json:"args"`
}

type response struct {
	Version int     `json:"version"`
	ID      *string `json:"id"`
	Result  result  `json:"result"`
}

type result struct {
	Object object `json:"object"`
}

type object struct {
	Type      string   `json:"type"`
	Name      *string  `json:"name"`
	Created   *int64   `json:"created"`
	Value     string   `json:"value"`
	Algorithm string   `json:"algorithm"`
	BitLength int      `json:"bit_length"`
	ID        string   `json:"id"`
	Consumers []string `json:"consumers"`
	State     string   `json:"state"`
}

func main() {
	log.SetFlags(0)
	if err := get(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		log.Fatal(err)
	}
}

func get(address, pki, prepared, size string) error {
	var q request
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	message, err := os.ReadFile(prepared)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	reply := make([]byte, n)
	if err := exchange(address, pki, message, reply); err != nil {
		return err
	}
	key, err := material(reply)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(response{Version: 1, ID: q.ID, Result: result{object{
		Type: "symmetric", Value: hex.EncodeToString(key), Algorithm: "AES", BitLength: 8 * len(key),
		ID: q.Args.KeyID, Consumers: []string{}, State: "active",
	}}})
}

func exchange(address, pki string, message, reply []byte) error {
	conn, err := raw.Client(address, pki)
	if err != nil {
		return err
	}
	defer conn.NetConn().Close()
	if _, err := conn.Write(message); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, reply)
	return err
}

// material is the key of 256 bits that stands in a reply.
func material(reply []byte) ([]byte, error) {
	header := []byte{0x42, 0x00, 0x43, 0x08, 0, 0, 0, 32} // Key Material, a Byte String of 32 bytes
	_, rest, ok := bytes.Cut(reply, header)
	if !ok || len(rest) < 32 {
		return nil, errors.New("no key in the reply")
	}
	return rest[:32], nil
}
