package novaconf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Identity is who the client is and whom it trusts, out of the PEM files that [kmip] names.
type Identity struct {
	Certificate tls.Certificate // with its Leaf
	Roots       *x509.CertPool
}

// Identity reads certfile, keyfile and ca_certs. A certificate that does not hold now is an error, as is a private key
// that others may read. Errors are of type *Error.
func (f *Files) Identity(k *KMIP) (*Identity, error) {
	if err := f.CheckKeyFile(k); err != nil {
		return nil, err
	}
	key, err := f.readPEM("keyfile", k.KeyFile)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	chain, err := f.readPEM("certfile", k.CertFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, f.pairFault(k, err, chain, key)
	}
	if reason := validNow(pair.Leaf, time.Now()); reason != "" {
		return nil, f.fail("certfile", k.CertFile+" "+reason)
	}
	roots, err := f.roots(k)
	if err != nil {
		return nil, err
	}
	return &Identity{pair, roots}, nil
}

// CheckKeyFile tells whether the private key is there, for this process and not for everybody.
func (f *Files) CheckKeyFile(k *KMIP) error {
	info, err := os.Stat(k.KeyFile)
	if err == nil && info.Mode().IsRegular() {
		err = tryOpen(k.KeyFile)
	}
	switch {
	case err != nil:
		return f.fail("keyfile", "cannot read "+k.KeyFile+": "+cause(err))
	case !info.Mode().IsRegular():
		return f.fail("keyfile", k.KeyFile+" is not a regular file")
	case info.Mode().Perm()&0o007 != 0:
		return f.fail("keyfile", fmt.Sprintf("%s has mode %04o, so that others can use the key: chmod o= %s",
			k.KeyFile, info.Mode().Perm(), k.KeyFile))
	}
	return nil
}

func tryOpen(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// CheckUsage tells whether the certificate may be shown to a server (RFC 5280 section 4.2.1.12). One that names no usage
// serves for any, but there are servers that insist; the advice says so.
func (f *Files) CheckUsage(i *Identity) (advice string, err error) {
	leaf := i.Certificate.Leaf
	switch {
	case slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth), slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return "", nil
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0:
		return "the certificate names no extended key usage, and some servers ask for clientAuth", nil
	}
	return "", f.fail("certfile", "the certificate lacks the extended key usage clientAuth")
}

func (f *Files) roots(k *KMIP) (*x509.CertPool, error) {
	text, err := f.readPEM("ca_certs", k.CACerts)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, f.fail("ca_certs", k.CACerts+" holds no certificate in PEM")
	}
	return roots, nil
}

func (f *Files) readPEM(option, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, f.fail(option, path+" is not a regular file")
	}
	if err == nil && info.Size() > maxFileSize {
		return nil, f.fail(option, path+" is too large")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, f.fail(option, "cannot read "+path+": "+cause(err))
	}
	return text, nil
}

// cause is the error without the path, which the caller names.
func cause(err error) string {
	if e, ok := err.(*fs.PathError); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// pairFault blames the file for which a certificate and a key do not make a pair.
func (f *Files) pairFault(k *KMIP, err error, chain, key []byte) error {
	leaf, held := firstCertificate(chain)
	switch {
	case leaf == nil && held != "":
		return f.fail("certfile", k.CertFile+" holds no certificate in PEM, but a "+held)
	case leaf == nil:
		return f.fail("certfile", k.CertFile+" holds no certificate in PEM")
	}
	if _, broken := x509.ParseCertificate(leaf); broken != nil {
		return f.fail("certfile", fmt.Sprintf("%s holds a certificate that cannot be read: %v", k.CertFile, broken))
	}
	return f.fail("keyfile", keyReason(err, key, k))
}

// firstCertificate is the first in a text of PEM; where there is none, held says what the text holds in its place.
func firstCertificate(text []byte) (der []byte, held string) {
	for {
		block, rest := pem.Decode(text)
		switch {
		case block == nil:
			return nil, held
		case block.Type == "CERTIFICATE":
			return block.Bytes, ""
		}
		held, text = block.Type, rest
		clear(block.Bytes)
	}
}

// keyReason says why a certificate and a key do not make a pair.
func keyReason(err error, key []byte, k *KMIP) string {
	block, _ := pem.Decode(key)
	if block != nil && (block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "") {
		return k.KeyFile + " is encrypted, and nobody is there to enter a passphrase: store the key without one"
	}
	return fmt.Sprintf("%s does not serve with certfile %s: %v", k.KeyFile, k.CertFile, err)
}

// validNow says why a certificate does not hold, or nothing.
func validNow(cert *x509.Certificate, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return "holds only from " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	if now.After(cert.NotAfter) {
		return "expired on " + cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}
