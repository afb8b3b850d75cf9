package persons

import "github.com/stratakit/strata/tenancy/settings"

// The settings of matching.
var (
	// UPNField is the key of the custom field with the user principal name: what tells a human
	// from all others, such as the login of a directory or the number of an employee.
	UPNField = settings.NewKey("persons.upn_field", settings.Spec[string]{
		Default: "upn", Summary: "the custom field that is the same for all recipients of one human",
	})
	// DepartmentField is the key of the custom field with the department.
	DepartmentField = settings.NewKey("persons.department_field", settings.Spec[string]{
		Default: "department", Summary: "the custom field with the department, by which persons are suggested",
	})
)

// Settings are UPNField and DepartmentField, for settings.NewRegistry.
func Settings() []settings.AnyKey { return []settings.AnyKey{UPNField, DepartmentField} }
