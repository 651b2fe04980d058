// Command linked does nothing either, but has linked what a KMIP client cannot do without.
package main

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
)

func main() {
	if len(os.Args) > 1 { // never: the linker keeps what could be called
		conn, _ := net.Dial("tcp", os.Args[1])
		_ = json.NewEncoder(tls.Client(conn, &tls.Config{ServerName: os.Args[1]})).Encode(os.Args)
	}
}
