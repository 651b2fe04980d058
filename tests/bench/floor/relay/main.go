// Command relay is the least that a session can be: for each line that it reads, an exchange of bytes that somebody else
// prepared, on one TLS connection, and a line that somebody else prepared.
//
//	relay ADDRESS PKI REQUEST REPLY-SIZE LINE
package main

import (
	"bufio"
	"io"
	"log"
	"os"
	"strconv"

	"kmip-keymgr/tests/bench/floor/raw"
)

func main() {
	log.SetFlags(0)
	if err := relay(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]); err != nil {
		log.Fatal(err)
	}
}

func relay(address, pki, prepared, size, line string) error {
	message, err := os.ReadFile(prepared)
	if err != nil {
		return err
	}
	answer, err := os.ReadFile(line)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	conn, err := raw.Client(address, pki)
	if err != nil {
		return err
	}
	reply := make([]byte, n)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, reply); err != nil {
			return err
		}
		if _, err := os.Stdout.Write(answer); err != nil {
			return err
		}
	}
	return nil
}
