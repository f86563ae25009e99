"""The memory that versions take: what each holds, and who goes where there is not enough for one more"""
