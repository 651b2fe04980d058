package mock

import (
	"fmt"
	"slices"
	"strings"

	"kmip-keymgr/kmip"
)

// VersionRange is the versions that a server speaks, both ends included. The zero range is all there are.
type VersionRange struct{ Min, Max kmip.Version }

// The versions that brought fields to the messages. What is newer than the message is refused.
const (
	sinceDevice      = kmip.V1_1 // Device credential, Object Group Member
	sinceCredentials = kmip.V1_2 // more than one credential, keys without their value
	sinceOffset      = kmip.V1_3 // Offset Items, Located Items
	sinceCorrelation = kmip.V1_4 // correlation values, Key Wrap Type
)

// ParseVersions reads "1.0-2.1" or "1.2".
func ParseVersions(text string) (VersionRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err := kmip.ParseVersion(first)
	if err != nil {
		return VersionRange{}, err
	}
	to, err := kmip.ParseVersion(last)
	if err == nil && from > to {
		err = fmt.Errorf("mock: versions %s: the first is above the last", text)
	}
	return VersionRange{from, to}, err
}

func (r VersionRange) has(v kmip.Version) bool {
	return r == VersionRange{} || r.Min <= v && v <= r.Max
}

// list is the versions, the newest first.
func (r VersionRange) list() []kmip.Version {
	all := slices.DeleteFunc(kmip.Versions(), func(v kmip.Version) bool { return !r.has(v) })
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// nearest is the version to answer in: the one asked, or else the newest that is older, or else the oldest.
func (r VersionRange) nearest(asked kmip.Version) kmip.Version {
	all := r.list()
	for _, v := range all {
		if v <= asked {
			return v
		}
	}
	return all[len(all)-1]
}

// reasonBefore2 is the reason that 1.x gives where 2.x has better ones (section 11; KMIP 2.1 section 11.46).
func reasonBefore2(r kmip.ResultReason) kmip.ResultReason {
	switch r {
	case kmip.AttributeReadOnly:
		return kmip.PermissionDenied
	case kmip.AttributeSingleValued:
		return kmip.IllegalOperation
	case kmip.AttributeNotFound, kmip.AttributeInstanceNotFound:
		return kmip.ItemNotFound
	case kmip.NonUniqueNameAttribute, kmip.UnsupportedAttribute, kmip.InvalidAttributeValue, kmip.MultiValuedAttribute:
		return kmip.InvalidField
	}
	return r
}
