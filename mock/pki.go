package mock

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// PKI is a throw-away certificate authority and what it issued: P-256 keys, and a Common Name a client.
type PKI struct {
	Roots                 *x509.CertPool
	Server, Client, Other tls.Certificate

	dir string // "" where it lives in memory alone
}

// validity is how long certificates hold. A PKI is thrown away long before.
const validity = 10 * 365 * 24 * time.Hour

// NewPKI makes a PKI in memory.
func NewPKI() (*PKI, error) {
	ca, err := issue(tls.Certificate{}, authorityTemplate())
	if err != nil {
		return nil, err
	}
	p := &PKI{Roots: x509.NewCertPool()}
	p.Roots.AddCert(ca.Leaf)
	for _, part := range p.parts() {
		if *part.cert, err = issue(ca, part.template); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// part is one certificate of a PKI, with its key, and the name of its files.
type part struct {
	name     string
	cert     *tls.Certificate
	template x509.Certificate
}

func (p *PKI) parts() []part {
	return []part{
		{"server", &p.Server, x509.Certificate{
			Subject: pkix.Name{CommonName: "kmip-mock"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		}},
		{"client", &p.Client, clientTemplate("client")},
		{"other-client", &p.Other, clientTemplate("other-client")},
	}
}

func clientTemplate(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

func authorityTemplate() x509.Certificate {
	return x509.Certificate{
		Subject: pkix.Name{CommonName: "kmip-mock CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// issue makes a key and a certificate for it; without a CA it signs itself.
func issue(ca tls.Certificate, template x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return certify(ca, template, key)
}

// certify makes a certificate for a key; without a CA it signs itself.
func certify(ca tls.Certificate, template x509.Certificate, key crypto.Signer) (_ tls.Certificate, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, err
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(validity)
	template.KeyUsage |= x509.KeyUsageDigitalSignature
	parent, signer := &template, any(key)
	if ca.Leaf != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

// OpenPKI reads a PKI from a directory, after making what is missing there. The CA's key stays in ca-key.pem, so that
// what goes missing later can be made again; where only that is missing, nothing can be added. Where both the CA and its key
// are missing they are made only if there is nothing else: beside certificates that it did not issue, a CA would serve nobody.
func OpenPKI(dir string) (*PKI, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := &PKI{Roots: x509.NewCertPool(), dir: dir}
	ca, err := p.authority()
	if err != nil {
		return nil, err
	}
	for _, part := range p.parts() {
		if err := p.load(ca, part); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// lock waits until no other process is making what is missing in the directory, and keeps others from it until it is unlocked.
func lock(dir string) (unlock func() error, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: dir, Err: err}, d.Close())
	}
	return d.Close, nil
}

func (p *PKI) file(name string) string { return filepath.Join(p.dir, name) }

// authority reads the CA, or makes it. Without its key it has certificates but cannot issue.
func (p *PKI) authority() (ca tls.Certificate, err error) {
	if missing(p.file("ca.pem")) {
		if ca, err = p.newAuthority(); err == nil {
			err = p.save("ca", ca)
		}
		if err != nil {
			return ca, err
		}
	}
	text, err := os.ReadFile(p.file("ca.pem"))
	if err != nil {
		return ca, err
	}
	if !p.Roots.AppendCertsFromPEM(text) {
		return ca, fmt.Errorf("mock: no certificate in %s", p.file("ca.pem"))
	}
	if missing(p.file("ca-key.pem")) {
		return ca, nil
	}
	return p.pair("ca")
}

// newAuthority makes the CA, for its key if that is there, so that what it has issued stays good.
func (p *PKI) newAuthority() (ca tls.Certificate, err error) {
	if missing(p.file("ca-key.pem")) {
		if err := p.orphaned(); err != nil {
			return ca, err
		}
		return issue(tls.Certificate{}, authorityTemplate())
	}
	text, err := os.ReadFile(p.file("ca-key.pem"))
	if err != nil {
		return ca, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return ca, fmt.Errorf("mock: no key in %s", p.file("ca-key.pem"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if !ok {
		return ca, fmt.Errorf("mock: no key in %s: %v", p.file("ca-key.pem"), err)
	}
	return certify(tls.Certificate{}, authorityTemplate(), signer)
}

// orphaned tells of what is there of a PKI without its CA.
func (p *PKI) orphaned() error {
	for _, part := range p.parts() {
		for _, file := range [...]string{part.name + ".pem", part.name + "-key.pem"} {
			if !missing(p.file(file)) {
				return fmt.Errorf("mock: ca.pem and its key are missing in %s, and %s belongs to them: put them back, or remove all that is there", p.dir, file)
			}
		}
	}
	return nil
}

// load reads a certificate and its key, or issues them where either is missing.
func (p *PKI) load(ca tls.Certificate, part part) (err error) {
	if missing(p.file(part.name+".pem")) || missing(p.file(part.name+"-key.pem")) {
		if ca.Leaf == nil {
			return fmt.Errorf("mock: %s.pem or its key is missing in %s, and so is ca-key.pem to make it with", part.name, p.dir)
		}
		if *part.cert, err = issue(ca, part.template); err == nil {
			err = p.save(part.name, *part.cert)
		}
		return err
	}
	*part.cert, err = p.pair(part.name)
	return err
}

func (p *PKI) pair(name string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(p.file(name+".pem"), p.file(name+"-key.pem"))
	if err != nil {
		return pair, fmt.Errorf("mock: %s: %w", p.file(name+".pem"), err)
	}
	return pair, nil
}

// save writes a certificate and its key, which only its owner may read.
func (p *PKI) save(name string, cert tls.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := writeFile(p.file(name+"-key.pem"), key, 0o600); err != nil {
		return err
	}
	return writeFile(p.file(name+".pem"), text, 0o644)
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}
