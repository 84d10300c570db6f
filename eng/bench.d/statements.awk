# 40,000 SQL statements on two tables, the same with each run: reads by key, updates, inserts, ranges, groups and joins.
BEGIN { srand(1);
 print "create table account(id int primary key, branch int, balance bigint, note text);";
 print "create table entry(id serial primary key, account int, amount int, at timestamp default now());";
 print "insert into account select i, i % 37, 1000, md5(i::text) from generate_series(1,20000) i;";
 print "create index entry_account on entry(account);"; print "analyze;";
 for (i = 0; i < n; i++) { a = int(rand()*20000)+1; k = i % 10;
  if (k < 3) printf "select balance, note from account where id = %d;\n", a;
  else if (k < 5) printf "update account set balance = balance + %d where id = %d;\n", int(rand()*100)-50, a;
  else if (k < 7) printf "insert into entry(account, amount) values (%d, %d);\n", a, int(rand()*1000);
  else if (k == 7) printf "select count(*), sum(amount) from entry where account between %d and %d;\n", a, a+20;
  else if (k == 8) printf "select branch, count(*), max(balance) from account where id between %d and %d group by branch order by 2 desc, 1 limit 5;\n", a, a+150;
  else printf "select upper(substr(a.note, 1, 8)), e.amount from account a join entry e on e.account = a.id where a.id in (%d, %d, %d) and a.note like '%%a%%';\n", a, (a*7)%20000+1, (a*13)%20000+1;
 } }
