// Package kmip speaks the Key Management Interoperability Protocol, versions 1.0 to 2.1: its messages and operations,
// defined once for client and server, and a client over mutual TLS.
//
// An operation is a request type that knows its response type:
//
//	got, err := kmip.Do(ctx, client, &kmip.Get{UniqueIdentifier: id}) // got is a *kmip.GetResponse
//	if errors.Is(err, kmip.ItemNotFound) { ... }
//
// Several operations travel as a [Batch], one round trip. Section numbers cite the KMIP 1.4 specification unless another
// version is named.
package kmip

import "fmt"

// Version is a version of the protocol, major << 8 | minor.
type Version uint16

// The versions this package speaks.
const (
	V1_0 Version = 0x0100
	V1_1 Version = 0x0101
	V1_2 Version = 0x0102
	V1_3 Version = 0x0103
	V1_4 Version = 0x0104
	V2_0 Version = 0x0200
	V2_1 Version = 0x0201
)

// Versions are all versions this package speaks, in the order in which a client tries them: 1.4 first, since it says all
// that is needed and most servers speak it.
func Versions() []Version { return []Version{V1_4, V1_3, V1_2, V1_1, V1_0, V2_1, V2_0} }

// ParseVersion reads "1.4".
func ParseVersion(s string) (Version, error) {
	for _, v := range Versions() {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("kmip: no version %q, there are %v", s, Versions())
}

func (v Version) String() string { return fmt.Sprintf("%d.%d", v>>8, v&0xFF) }

// known reports whether this package speaks the version.
func (v Version) known() bool { return v >= V1_0 && v <= V1_4 || v == V2_0 || v == V2_1 }
