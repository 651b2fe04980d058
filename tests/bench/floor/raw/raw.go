// Package raw is what the floor programs share: a connection by mutual TLS, with the files that kmip-mock makes.
package raw

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// Client connects to a server that listens on an IP address.
func Client(address, pki string) (*tls.Conn, error) {
	identity, roots, err := load(pki, "client")
	if err != nil {
		return nil, err
	}
	return tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{identity}, RootCAs: roots})
}

// Server is the configuration of a server that asks for a client's certificate.
func Server(pki string) (*tls.Config, error) {
	identity, clients, err := load(pki, "server")
	return &tls.Config{
		Certificates: []tls.Certificate{identity},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, err
}

func load(pki, who string) (tls.Certificate, *x509.CertPool, error) {
	identity, err := tls.LoadX509KeyPair(filepath.Join(pki, who+".pem"), filepath.Join(pki, who+"-key.pem"))
	if err != nil {
		return identity, nil, err
	}
	ca, err := os.ReadFile(filepath.Join(pki, "ca.pem"))
	if err != nil {
		return identity, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return identity, nil, fmt.Errorf("no certificate in %s", pki)
	}
	return identity, pool, nil
}
