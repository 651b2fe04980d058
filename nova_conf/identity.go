package novaconf

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
	for _, der := range pair.Certificate[1:] { // those above it, which the server gets to read too
		if _, err := x509.ParseCertificate(der); err != nil {
			return nil, f.unreadable("certfile", k.CertFile, err)
		}
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

// CheckKeyFile reports whether the private key is there, for this process and not for everybody.
func (f *Files) CheckKeyFile(k *KMIP) error {
	info, err := os.Stat(k.KeyFile)
	if err == nil && info.Mode().IsRegular() {
		err = tryOpen(k.KeyFile)
	}
	switch {
	case info != nil && errors.Is(err, fs.ErrPermission): // and not of a directory above
		return f.fail("keyfile", fmt.Sprintf("cannot read %[1]s: %[2]s, for the user with id %[3]d: chown root:GROUP and chmod 640 %[1]s, "+
			"with a GROUP of that user's", k.KeyFile, cause(err), os.Geteuid()))
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

// CheckUsage reports whether the certificate may be shown to a server (RFC 5280 section 4.2.1.12). One that names no usage
// serves for any, but there are servers that insist; the advice says so.
func (f *Files) CheckUsage(i *Identity) (advice string, err error) {
	leaf := i.Certificate.Leaf
	switch {
	case slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth), slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return "", nil
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0:
		return "the certificate names no extended key usage, and some servers ask for clientAuth", nil
	}
	return "", f.fail("certfile", "the certificate lacks the extended key usage clientAuth: it must be reissued")
}

// roots are the trusted CAs, never nil without an error: to crypto/tls nil means the system's. A certificate with PEM headers
// counts as none, since x509.CertPool passes it over.
func (f *Files) roots(k *KMIP) (*x509.CertPool, error) {
	text, err := f.readPEM("ca_certs", k.CACerts)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		_, err := f.firstCertificate("ca_certs", k.CACerts, text)
		return nil, cmp.Or(err, f.fail("ca_certs", k.CACerts+" has header lines within its certificates, after BEGIN CERTIFICATE: remove them"))
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
	first, broken := f.firstCertificate("certfile", k.CertFile, chain)
	switch {
	case broken != nil:
		return broken
	case isEncrypted(key):
		return f.fail("keyfile", k.KeyFile+" is encrypted, and nobody is there to enter a passphrase: store the key without one")
	case first.IsCA:
		return f.fail("certfile", fmt.Sprintf("%s begins with the CA's certificate, of %s: the client's own must come first, and fit keyfile %s",
			k.CertFile, first.Subject, k.KeyFile))
	}
	return f.fail("keyfile", fmt.Sprintf("%s does not match certfile %s: %v", k.KeyFile, k.CertFile, err))
}

// firstCertificate is the first in a text of PEM. The error, where there is none, names what the text holds in its place.
func (f *Files) firstCertificate(option, path string, text []byte) (*x509.Certificate, error) {
	held := ""
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			first, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, f.unreadable(option, path, err)
			}
			return first, nil
		}
		held = ", but a " + block.Type
		clear(block.Bytes)
	}
	return nil, f.fail(option, path+" holds no certificate in PEM"+held)
}

func (f *Files) unreadable(option, path string, err error) error {
	return f.fail(option, fmt.Sprintf("%s holds a certificate that cannot be read: %v", path, err))
}

// isEncrypted reports whether a private key in PEM takes a passphrase. What OpenSSL writes before it is passed over.
func isEncrypted(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return true
		}
		clear(block.Bytes)
	}
	return false
}

// validNow says why a certificate is not valid now, "" where it is.
func validNow(cert *x509.Certificate, now time.Time) string {
	if now.Before(cert.NotBefore) {
		return "is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	if now.After(cert.NotAfter) {
		return "expired on " + cert.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}
