package persons

import "strings"

// RoleNames returns what stands before the @ of addresses that several humans read, such as
// info and sales (RFC 2142 names some). Dots, hyphens and underscores in an address do not
// count. Recipients with such an address are never matched.
func RoleNames() []string { return strings.Fields(roleNames) }

const roleNames = `abuse academy accounting accountspayable accountsreceivable admin administration administrator admissions all allstaff analytics ap ar archive
	backoffice billing board booking bookings bot bounce bounces bursar careers clerk communications community compliance contact contactus cs customercare
	customerservice data desk dev developers devops director dispatch donotreply editor email enquiries enquiry events everyone expenses facilities
	feedback finance frontdesk ftp general gdpr hallo hello help helpdesk hi hostmaster hr humanresources info information inquiries inquiry invoice invoices
	it itsupport jobs legal list listserv mail mailer mailerdaemon mailinglist main management manager marketing media members membership news newsletter
	nobody noc noreply notification notifications notify noresponse office operations ops orders payments payroll planning postmaster pr press privacy
	procurement production projects purchasing reception recruiting recruitment register registrar registration reply reports reservations returns root
	sales school secretariat secretary security server service services shipping shop soc spam staff studio subscribe support sysadmin system
	team tech test training travel treasurer undisclosed unsubscribe update updates usenet users uucp volunteer warehouse web webadmin webmaster welcome work www`

var builtInRoles = words(roleNames)

func roleForm(local string) string {
	return strings.NewReplacer(".", "", "-", "", "_", "").Replace(strings.ToLower(local))
}

// isRole reports whether several humans read an address, by what stands before its @.
func isRole(local string, more map[string]bool) bool {
	form := roleForm(local)
	return builtInRoles[form] || more[form]
}
